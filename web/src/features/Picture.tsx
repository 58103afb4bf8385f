/** A text as a QR code, drawn here: a secret goes to nobody else. */
import { QRCodeSVG } from "qrcode.react";

export default function Picture({ of }: { of: string }) {
  return <QRCodeSVG value={of} size={196} marginSize={4} level="M" title="QR code for your authenticator" />;
}
