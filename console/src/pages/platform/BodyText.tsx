import { Tag } from "antd";
import { useTranslation } from "react-i18next";
import type { KeptBody } from "../../api/schema";
import { formatBytes } from "../../parts/format";
import { Panel } from "../../parts/Page";
import { laidOut, pieces } from "./bodyText";

/** One body as it was kept: what was taken out of it is marked. */
export function BodyText({ title, body }: { title: string; body: KeptBody }) {
  const { t } = useTranslation();
  const about = (
    <span className="row small quiet">
      {body.kind && <span className="mono">{body.kind}</span>}
      <span className="num">{formatBytes(body.bytes)}</span>
      {body.cut && <Tag color="warning" style={{ margin: 0 }}>{t("requests.cut")}</Tag>}
    </span>
  );
  return (
    <Panel title={title} extra={about}>
      {body.text == null ? (
        <span className="quiet">{t(body.bytes > 0 ? "requests.noText" : "requests.nothing")}</span>
      ) : (
        <pre tabIndex={0} className="mono small" style={{ margin: 0, maxHeight: 420, overflow: "auto", whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
          {pieces(laidOut(body.text)).map((piece, at) => (piece.taken ? <mark key={at} title={t("requests.takenOut")}>{piece.text}</mark> : <span key={at}>{piece.text}</span>))}
        </pre>
      )}
    </Panel>
  );
}
