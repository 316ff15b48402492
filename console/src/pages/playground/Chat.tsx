import { ClearOutlined, CodeOutlined, CommentOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Service } from "../../api/schema";
import { Empty } from "../../parts/Feedback";
import { CodeDialog } from "./CodeDialog";
import { Compose } from "./Compose";
import { ParameterFields } from "./ParameterFields";
import { ServicePick, useService } from "./ServicePick";
import { TurnView } from "./TurnView";
import { asked, requestOf, type Parameters } from "./conversation";
import { bytesSent, takesImages } from "./images";
import { streamed } from "./stream";
import { useChat } from "./useChat";

/** A conversation with one service. */
export function Chat({ services }: { services: Service[] }) {
  const { t } = useTranslation();
  const [service, setService] = useService(services);
  const [parameters, setParameters] = useState<Parameters>({ temperature: 0.7, max_tokens: 512 });
  const [coding, setCoding] = useState(false);
  const withImages = takesImages(service);
  const chat = useChat(service?.name, parameters, withImages);
  const box = useRef<HTMLDivElement>(null);
  const last = chat.turns.at(-1);

  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [chat.turns.length, last?.content, last?.reasoning]);

  return (
    <div className="play">
      <section className="panel chat">
        <div className="title">
          <ServicePick services={services} value={service?.name} onChange={setService} />
          <span className="row">
            <Button size="small" type="text" icon={<CodeOutlined />} onClick={() => setCoding(true)}>{t("play.code")}</Button>
            <Button size="small" type="text" icon={<ClearOutlined />} disabled={chat.turns.length === 0} onClick={chat.clear}>{t("play.clear")}</Button>
          </span>
        </div>
        <div className="messages" ref={box} tabIndex={0} role="log" aria-label={t("play.conversation")}>
          {chat.turns.length === 0 && <Empty icon={<CommentOutlined />} title={t("play.startTitle", { name: service?.name ?? "" })} text={t("play.startText")} />}
          {chat.turns.map((turn, index) => (
            <TurnView key={index} turn={turn} name={service?.name ?? ""} busy={chat.busy && index === chat.turns.length - 1} onAnswerCalls={index === chat.turns.length - 1 ? (results) => void chat.answerCalls(results) : undefined} onResend={turn.role === "user" && !chat.busy ? (text) => void chat.resend(index, text) : undefined} />
          ))}
        </div>
        {!withImages && bytesSent(chat.turns) > 0 && <div className="small quiet" style={{ padding: "0 16px 8px" }}>{t("play.image.dropped")}</div>}
        <Compose busy={chat.busy} disabled={!service} withImages={withImages} imageBytes={() => bytesSent(chat.turns)} onSend={(text, images) => void chat.send(text, images)} onStop={chat.stop} />
      </section>
      <aside className="panel settings" aria-label={t("play.parameters")}>
        <div className="title">{t("play.parameters")}</div>
        <div className="body"><ParameterFields value={parameters} onChange={setParameters} /></div>
      </aside>
      {service && <CodeDialog open={coding} onClose={() => setCoding(false)} service={service} request={streamed(requestOf(service.name, parameters, chat.turns.length ? asked(chat.turns) : [{ role: "user", content: "Hello" }], withImages))} />}
    </div>
  );
}
