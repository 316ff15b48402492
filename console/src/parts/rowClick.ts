/** Whether a click was meant for the row: not for a control in it, nor for a dialog or menu that it opened, whose clicks React tells the row too. */
export function isOwnClick(row: Pick<Element, "contains">, target: Element): boolean {
  return row.contains(target) && !target.closest("a, button, input, label");
}
