/** A dialog over the page. While it goes nothing in it can be pressed: the second click of two does no deed again. */
import { Modal, type ModalProps } from "@mantine/core";

export function Dialog(of: ModalProps) {
  return <Modal lockScroll={false} attributes={{ content: { inert: !of.opened } }} {...of} />;
}
