import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { WaitingReplica } from "../api/schema";
import { localized } from "../app/sentences";
import { Panel } from "./Page";
import { Time } from "./Time";

/** Replicas without a place: why, and why not on each node. */
export function WaitingList({ waiting }: { waiting: WaitingReplica[] }) {
  const { t } = useTranslation();
  return (
    <div className="stack wide">
      {waiting.map((item) => (
        <Panel key={item.replica} title={<><Link to={`/services/${item.service}`}>{item.service}</Link> <span className="mono small quiet">{item.replica}</span></>} extra={<span className="small quiet">{t("pools.waitsSince")} <Time at={item.since} /></span>}>
          <div style={{ whiteSpace: "normal" }}>{localized(item.reason)}</div>
          {item.nodes.length > 0 && (
            <dl className="lines" style={{ marginTop: 8 }}>
              {item.nodes.map((node) => <div key={node.node}><dt>{node.node}</dt><dd>{localized(node.reason)}</dd></div>)}
            </dl>
          )}
        </Panel>
      ))}
    </div>
  );
}
