import { Select } from "antd";
import { useEffect, useImperativeHandle, useMemo, useRef, useState, type Ref } from "react";
import { useTranslation } from "react-i18next";
import type { Service } from "../../api/schema";
import { useUrl } from "../../parts/url";
import { Compose } from "./Compose";
import { ParameterFields } from "./ParameterFields";
import { TurnView } from "./TurnView";
import type { Parameters } from "./conversation";
import { bytesSent, takesImages, type Image } from "./images";
import { useChat } from "./useChat";

const MOST = 4;

interface Lane {
  send: (text: string, images: Image[]) => void;
  stop: () => void;
  imageBytes: () => number;
}

/** The same prompt to two to four services, side by side. */
export function Compare({ services }: { services: Service[] }) {
  const { t } = useTranslation();
  const [url, setUrl] = useUrl("services");
  const [parameters, setParameters] = useState<Parameters>({ temperature: 0, max_tokens: 256 });
  const lanes = useRef(new Map<string, Lane>());
  const [busy, setBusy] = useState<Record<string, boolean>>({});
  const names = useMemo(() => {
    const known = url.split(",").filter((name) => services.some((service) => service.name === name));
    return known.length > 0 ? known : services.slice(0, 2).map((service) => service.name);
  }, [url, services]);
  const takes = (name: string) => takesImages(services.find((service) => service.name === name));
  const anyBusy = names.some((name) => busy[name]);
  return (
    <div className="play">
      <section className="panel chat">
        <div className="title">
          <Select mode="multiple" maxCount={MOST} style={{ minWidth: 320, maxWidth: "100%" }} aria-label={t("play.services")} placeholder={t("play.compareHint")} value={names} onChange={(next) => setUrl(next.join(","))} options={services.map((service) => ({ value: service.name, label: service.name }))} />
          {names.length < 2 && <span className="small quiet">{t("play.compareHint")}</span>}
        </div>
        <div className="messages">
          <div className="compare" style={{ flex: 1 }}>
            {names.map((name) => (
              <LaneView
                key={name}
                name={name}
                withImages={takes(name)}
                parameters={parameters}
                onBusy={(value) => setBusy((current) => (current[name] === value ? current : { ...current, [name]: value }))}
                ref={(lane) => {
                  if (lane) lanes.current.set(name, lane);
                  else lanes.current.delete(name);
                }}
              />
            ))}
          </div>
        </div>
        <Compose busy={anyBusy} withImages={names.every(takes)} imageBytes={() => Math.max(0, ...[...lanes.current.values()].map((lane) => lane.imageBytes()))} onSend={(text, images) => names.forEach((name) => lanes.current.get(name)?.send(text, images))} onStop={() => lanes.current.forEach((lane) => lane.stop())} />
      </section>
      <aside className="panel settings" aria-label={t("play.parameters")}>
        <div className="title">{t("play.parameters")}</div>
        <div className="body"><ParameterFields value={parameters} onChange={setParameters} /></div>
      </aside>
    </div>
  );
}

function LaneView({ name, withImages, parameters, onBusy, ref }: { name: string; withImages: boolean; parameters: Parameters; onBusy: (busy: boolean) => void; ref: Ref<Lane> }) {
  const chat = useChat(name, parameters, withImages);
  useImperativeHandle(ref, () => ({ send: (text, images) => void chat.send(text, images), stop: chat.stop, imageBytes: () => bytesSent(chat.turns) }), [chat]);
  useEffect(() => onBusy(chat.busy));
  return (
    <section aria-label={name} style={{ minWidth: 0, borderInlineEnd: "1px solid var(--ant-color-border-secondary)", paddingInlineEnd: 12 }}>
      <div className="strong" style={{ marginBottom: 12 }}>{name}</div>
      <div className="stack wide">
        {chat.turns.map((turn, index) => <TurnView key={index} turn={turn} name={name} busy={chat.busy && index === chat.turns.length - 1} />)}
      </div>
    </section>
  );
}
