/** How often that is asked for of which no stream tells, in milliseconds; a page that is not seen asks for nothing. */

/** The order book of a bot that runs. */
export const BOOK_EVERY = 150;
/** Long work that waits or is under way, while the stream is lost. */
export const WORK_EVERY = 700;
