import type { Service } from "../../api/schema";

export interface Image {
  name: string;
  /** The image itself as a data URL, as it is sent. */
  url: string;
}

/** What vision models read, and every browser shows. */
export const IMAGE_TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"];
export const MOST_IMAGES = 8;
/** Base64 makes a third more of it; with that, the images of a whole conversation stay below the gateway's 32 MiB. */
export const MOST_BYTES = 20 * 2 ** 20;

export const takesImages = (service: Service | undefined): boolean => service?.type === "vision" || service?.type === "ocr";

/** Bytes of the file behind a data URL. */
export const bytesOf = (url: string): number => Math.floor(((url.length - url.indexOf(",") - 1) * 3) / 4);

const sum = (images: Image[]): number => images.reduce((bytes, image) => bytes + bytesOf(image.url), 0);

/** Bytes of the images that a conversation holds: every question sends them again. */
export const bytesSent = (turns: { images?: Image[] }[]): number => turns.reduce((bytes, { images = [] }) => bytes + sum(images), 0);

export interface Refusal {
  reason: "type" | "size" | "count" | "earlier";
  name: string;
  bytes: number;
}

/** Those files that may join `have` images after `earlier` bytes of them in the conversation, and why the first other one may not. */
export function admit(have: Image[], files: File[], earlier = 0): { taken: File[]; refusal?: Refusal } {
  const taken: File[] = [];
  let [count, bytes] = [have.length, sum(have)];
  let refusal: Refusal | undefined;
  for (const file of files) {
    const reason = !IMAGE_TYPES.includes(file.type) ? "type" : count >= MOST_IMAGES ? "count" : bytes + file.size > MOST_BYTES ? "size" : earlier + bytes + file.size > MOST_BYTES ? "earlier" : undefined;
    if (reason) {
      refusal ??= { reason, name: file.name, bytes: file.size };
    } else {
      taken.push(file);
      count += 1;
      bytes += file.size;
    }
  }
  return { taken, refusal };
}

export function readImage(file: File): Promise<Image> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ name: file.name, url: reader.result as string });
    reader.onerror = () => reject(reader.error ?? new Error(file.name));
    reader.readAsDataURL(file);
  });
}
