import { useCallback, useState } from "react";
import { useTranslation } from "react-i18next";
import { formatBytes } from "../../parts/format";
import { admit, MOST_BYTES, MOST_IMAGES, readImage, type Image } from "./images";

/** The images that go with the next question; `earlierBytes` tells how much of them the conversation holds already. */
export function useImages(earlierBytes: () => number) {
  const { t } = useTranslation();
  const [images, setImages] = useState<Image[]>([]);
  const [problem, setProblem] = useState<string>();

  const add = useCallback(
    async (files: File[]) => {
      const earlier = earlierBytes();
      const { taken, refusal } = admit(images, files, earlier);
      setProblem(refusal && t(`play.image.${refusal.reason}`, { name: refusal.name, size: formatBytes(refusal.bytes), limit: formatBytes(MOST_BYTES), sent: formatBytes(earlier), count: MOST_IMAGES }));
      try {
        const read = await Promise.all(taken.map(readImage));
        setImages((current) => [...current, ...read].slice(0, MOST_IMAGES));
      } catch (error) {
        setProblem(t("play.image.unread", { reason: error instanceof Error ? error.message : String(error) }));
      }
    },
    [images, earlierBytes, t],
  );
  const remove = useCallback((index: number) => setImages((current) => current.filter((_, other) => other !== index)), []);
  const clear = useCallback(() => {
    setImages([]);
    setProblem(undefined);
  }, []);
  return { images, problem, add, remove, clear };
}
