import { CheckCircleFilled, LoadingOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { JoinToken } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { formatBytes } from "../../parts/format";
import { State } from "../../parts/State";
import { arrivalsQuery } from "../../queries/joins";
import { nodeQuery } from "../../queries/nodes";
import { arrivedIds } from "./joinValues";
import { productsOf } from "./nodeProducts";

/** The machines that joined with a token, as they come, and how many are still waited for. */
export function Arrivals({ token }: { token: JoinToken }) {
  const { t } = useTranslation();
  const joins = useQuery(arrivalsQuery(token.id));
  if (joins.error && !joins.data) return <ProblemView error={joins.error} retry={() => void joins.refetch()} />;
  const ids = arrivedIds(joins.data?.items ?? []);
  const waiting = Math.max(0, token.uses - (joins.data?.total ?? 0));
  return (
    <div role="status" className="arrivals">
      {ids.map((id) => <Arrived key={id} id={id} />)}
      {waiting > 0 && <div className="row"><LoadingOutlined className="quiet" aria-hidden /> <span>{t("join.waiting", { count: waiting })}</span></div>}
    </div>
  );
}

function Arrived({ id }: { id: string }) {
  const { t } = useTranslation();
  const { data: node } = useQuery(nodeQuery(id));
  if (!node) return null;
  const { status } = node;
  return (
    <div className="row wrap">
      <CheckCircleFilled aria-hidden style={{ color: "var(--ant-color-success)" }} />
      <span>{t("join.joined")} </span>
      <Link to={`/platform/nodes/${id}`} className="strong">{node.name}</Link>
      <State state={node.state} reason={node.reason} />
      <span className="small quiet num">{status ? [productsOf(status.accelerators), `${status.cpu_cores} ${t("word.cores")}`, formatBytes(status.memory_bytes)].filter(Boolean).join(" · ") : t("nodes.noStatus")}</span>
    </div>
  );
}
