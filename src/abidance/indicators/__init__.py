"""Arrays in, arrays out.

Every function here takes float64 columns, oldest first, and returns columns of the same length, NaN where there is not
enough history. None looks ahead: the values of a prefix are the prefix of the values, bit for bit. Leading NaNs are
skipped; a NaN inside a column makes every later value of a recursive indicator NaN.

TA-Lib is imported when first used, because it costs more than everything else that `--help` needs.
"""
