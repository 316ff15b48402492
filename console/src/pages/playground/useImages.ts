import { useCallback, useState } from "react";
import { useTranslation } from "react-i18next";
import { formatBytes } from "../../parts/format";
import { admit, MOST_BYTES, MOST_IMAGES, readImage, type Image } from "./images";

/** The images that go with the next question. */
export function useImages() {
  const { t } = useTranslation();
  const [images, setImages] = useState<Image[]>([]);
  const [problem, setProblem] = useState<string>();

  const add = useCallback(
    async (files: File[]) => {
      const { taken, refusal } = admit(images, files);
      setProblem(refusal && t(`play.image.${refusal.reason}`, { name: refusal.name, size: formatBytes(refusal.bytes), limit: formatBytes(MOST_BYTES), count: MOST_IMAGES }));
      try {
        const read = await Promise.all(taken.map(readImage));
        setImages((current) => [...current, ...read].slice(0, MOST_IMAGES));
      } catch (error) {
        setProblem(t("play.image.unread", { reason: error instanceof Error ? error.message : String(error) }));
      }
    },
    [images, t],
  );
  const remove = useCallback((index: number) => setImages((current) => current.filter((_, other) => other !== index)), []);
  const clear = useCallback(() => {
    setImages([]);
    setProblem(undefined);
  }, []);
  return { images, problem, add, remove, clear };
}
