import { DownloadOutlined, PauseOutlined, CaretRightOutlined } from "@ant-design/icons";
import { Button, Input, Select } from "antd";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Replica } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { useUrl } from "../../parts/url";
import { useLog } from "./useLog";

/** Live logs of one replica, dead ones too: follow, search, download. */
export function Logs({ service, replicas }: { service: string; replicas: Replica[] }) {
  const { t } = useTranslation();
  const [chosen, setChosen] = useUrl("replica");
  const [find, setFind] = useState("");
  const [follow, setFollow] = useState(true);
  const replica = chosen || newest(replicas)?.id;
  const [wanted, setWanted] = useState(0);
  const members = replicas.find((item) => item.id === replica)?.members ?? [];
  const member = wanted < members.length ? wanted : 0;
  const address = replica ? `/api/v1/replicas/${encodeURIComponent(replica)}/log?member=${member}` : undefined;
  const { lines, error, restart } = useLog(address, follow);
  const box = useRef<HTMLDivElement>(null);
  const shown = find ? lines.filter((line) => line.toLowerCase().includes(find.toLowerCase())) : lines;

  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.length, follow]);

  if (!replica) return <div className="quiet">{t("services.noReplicasText")}</div>;
  return (
    <div className="stack">
      <div className="row wrap">
        <Select style={{ minWidth: 280 }} aria-label={t("services.replica")} value={replica} onChange={setChosen} options={replicas.map((item) => ({ value: item.id, label: `${item.id} · ${t(`state.${item.state}`)}` }))} />
        {members.length > 0 && <Select aria-label={t("services.members")} value={member} onChange={setWanted} options={members.map((item, rank) => ({ value: rank, label: `${rank} · ${item.node}` }))} />}
        <Input.Search allowClear style={{ width: 260 }} placeholder={t("logs.search")} aria-label={t("logs.search")} value={find} onChange={(event) => setFind(event.target.value)} />
        {find && <span className="small quiet num">{t("logs.found", { count: shown.length })}</span>}
        <span className="grow" />
        <Button icon={follow ? <PauseOutlined /> : <CaretRightOutlined />} onClick={() => setFollow(!follow)}>{t(follow ? "logs.pause" : "logs.follow")}</Button>
        <a href={`${address}&tail=1000000`} download={`${service}-${replica}.log`}><Button icon={<DownloadOutlined />}>{t("logs.download")}</Button></a>
      </div>
      {error !== null ? <ProblemView error={error} retry={restart} /> : (
        <div className="log" ref={box} tabIndex={0} role="log" aria-label={t("services.logs")}>
          {shown.length === 0 && <div>{t("logs.empty")}</div>}
          {shown.map((line, index) => <Line key={index} text={line} find={find} />)}
        </div>
      )}
    </div>
  );
}

function newest(replicas: Replica[]): Replica | undefined {
  return [...replicas].sort((a, b) => Number(Boolean(a.ended_at)) - Number(Boolean(b.ended_at)) || b.created_at.localeCompare(a.created_at))[0];
}

function Line({ text, find }: { text: string; find: string }) {
  const tone = /\b(error|critical|traceback|exception)\b/i.test(text) ? "error" : /\bwarn(ing)?\b/i.test(text) ? "warning" : "";
  const at = find ? text.toLowerCase().indexOf(find.toLowerCase()) : -1;
  return (
    <div className={tone}>
      {at < 0 ? text : <>{text.slice(0, at)}<mark>{text.slice(at, at + find.length)}</mark>{text.slice(at + find.length)}</>}
    </div>
  );
}
