import { SendOutlined, StopOutlined } from "@ant-design/icons";
import { Button, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

interface Props {
  busy: boolean;
  disabled?: boolean;
  onSend: (text: string) => void;
  onStop: () => void;
}

/** Enter sends, Shift+Enter starts a new line; an input method's Enter only picks its word. */
export function Compose({ busy, disabled, onSend, onStop }: Props) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const send = () => {
    if (!text.trim() || busy) return;
    onSend(text.trim());
    setText("");
  };
  return (
    <div className="compose">
      <div className="row" style={{ alignItems: "flex-end" }}>
        <Input.TextArea
          autoFocus
          autoSize={{ minRows: 1, maxRows: 8 }}
          placeholder={t("play.ask")}
          aria-label={t("play.ask")}
          value={text}
          disabled={disabled}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
              event.preventDefault();
              send();
            }
          }}
        />
        {busy ? <Button icon={<StopOutlined />} onClick={onStop}>{t("play.stop")}</Button> : <Button type="primary" icon={<SendOutlined />} disabled={!text.trim() || disabled} onClick={send}>{t("play.send")}</Button>}
      </div>
    </div>
  );
}
