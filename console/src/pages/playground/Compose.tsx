import { PictureOutlined, SendOutlined, StopOutlined } from "@ant-design/icons";
import { Button, Input } from "antd";
import { useRef, useState, type DragEvent } from "react";
import { useTranslation } from "react-i18next";
import { IMAGE_TYPES, type Image } from "./images";
import { ImageStrip } from "./ImageStrip";
import { useImages } from "./useImages";

interface Props {
  busy: boolean;
  disabled?: boolean;
  /** Whether images can go with a question: chosen, dropped or pasted. */
  withImages?: boolean;
  /** Bytes of the images that the conversation holds, which go with every question. */
  imageBytes: () => number;
  onSend: (text: string, images: Image[]) => void;
  onStop: () => void;
}

/** Enter sends, Shift+Enter starts a new line; an input method's Enter only picks its word. */
export function Compose({ busy, disabled, withImages = false, imageBytes, onSend, onStop }: Props) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const [over, setOver] = useState(false);
  const attached = useImages(imageBytes);
  const picker = useRef<HTMLInputElement>(null);
  const images = withImages ? attached.images : [];
  const ready = Boolean(text.trim() || images.length) && !busy && !disabled;
  const send = () => {
    if (!ready) return;
    onSend(text.trim(), images);
    setText("");
    attached.clear();
  };
  const onDrag = (event: DragEvent) => {
    if (!withImages || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    setOver(event.type === "dragover");
    if (event.type === "drop") void attached.add([...event.dataTransfer.files]);
  };
  return (
    <div className={`compose ${over ? "over" : ""}`} onDragOver={onDrag} onDragLeave={onDrag} onDrop={onDrag}>
      <div className="stack">
        {images.length > 0 && <ImageStrip images={images} onRemove={attached.remove} />}
        {withImages && attached.problem && <div className="small bad" role="alert">{attached.problem}</div>}
        <div className="row" style={{ alignItems: "flex-end" }}>
          {withImages && (
            <>
              <Button icon={<PictureOutlined />} title={t("play.attach")} aria-label={t("play.attach")} disabled={disabled} onClick={() => picker.current?.click()} />
              <input
                ref={picker}
                type="file"
                hidden
                multiple
                accept={IMAGE_TYPES.join(",")}
                onChange={(event) => {
                  void attached.add([...(event.target.files ?? [])]);
                  event.target.value = "";
                }}
              />
            </>
          )}
          <Input.TextArea
            autoFocus
            autoSize={{ minRows: 1, maxRows: 8 }}
            placeholder={t(withImages ? "play.askImages" : "play.ask")}
            aria-label={t("play.ask")}
            value={text}
            disabled={disabled}
            onChange={(event) => setText(event.target.value)}
            onPaste={(event) => {
              if (!withImages || event.clipboardData.files.length === 0) return;
              event.preventDefault();
              void attached.add([...event.clipboardData.files]);
            }}
            onKeyDown={(event) => {
              if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
                event.preventDefault();
                send();
              }
            }}
          />
          {busy ? <Button icon={<StopOutlined />} onClick={onStop}>{t("play.stop")}</Button> : <Button type="primary" icon={<SendOutlined />} disabled={!ready} onClick={send}>{t("play.send")}</Button>}
        </div>
      </div>
    </div>
  );
}
