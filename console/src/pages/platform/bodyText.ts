const TAKEN = /(\[redacted:[a-z]+\])/;

/** JSON with a line for each value; what is cut or no JSON stays as it is. */
export function laidOut(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** A text in pieces, of which some stand for what was taken out. */
export function pieces(text: string): { text: string; taken: boolean }[] {
  return text.split(TAKEN).filter(Boolean).map((piece) => ({ text: piece, taken: TAKEN.test(piece) }));
}
