import { CloseOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import type { Image } from "./images";

/** Small pictures in a row; with `onRemove` each can be taken away again. */
export function ImageStrip({ images, onRemove }: { images: Image[]; onRemove?: (index: number) => void }) {
  const { t } = useTranslation();
  return (
    <div className="strip">
      {images.map((image, index) => (
        <span className="thumb" key={index}>
          <img src={image.url} alt={image.name} title={image.name} />
          {onRemove && <Button size="small" shape="circle" icon={<CloseOutlined />} aria-label={t("play.imageRemove", { name: image.name })} onClick={() => onRemove(index)} />}
        </span>
      ))}
    </div>
  );
}
