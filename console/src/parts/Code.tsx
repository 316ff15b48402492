import { CheckOutlined, CopyOutlined } from "@ant-design/icons";
import { Button, Tabs } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers offer no clipboard on plain HTTP beyond loopback.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function Copy({ text, label }: { text: string; label?: string }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <Button size="small" type={label ? "default" : "text"} icon={copied ? <CheckOutlined /> : <CopyOutlined />} aria-label={label ? undefined : t("action.copy")} title={t("action.copy")} onClick={() => void copy()}>
      {label && (copied ? t("action.copied") : label)}
    </Button>
  );
}

export function Code({ text }: { text: string }) {
  return (
    <div className="code">
      <pre tabIndex={0}>{text}</pre>
      <div className="copy">
        <Copy text={text} />
      </div>
    </div>
  );
}

export function CodeTabs({ samples }: { samples: { key: string; label: string; text: string }[] }) {
  return <Tabs size="small" items={samples.map((sample) => ({ key: sample.key, label: sample.label, children: <Code text={sample.text} /> }))} />;
}

/** A key or password, shown once. */
export function Secret({ text }: { text: string }) {
  const { t } = useTranslation();
  return (
    <div className="stack">
      <div className="secret">
        <code data-testid="secret">{text}</code>
        <Copy text={text} label={t("action.copy")} />
      </div>
      <span className="small quiet">{t("secret.once")}</span>
    </div>
  );
}
