import { useQuery } from "@tanstack/react-query";
import { Modal, Table } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, need } from "../../api/client";
import type { DrainMove, Node } from "../../api/schema";
import { localized } from "../../app/sentences";
import { ProblemView } from "../../parts/Feedback";
import { State } from "../../parts/State";
import { useAction } from "../../queries/action";
import { drainQuery } from "../../queries/pools";

/** Says which replicas leave a node and where to, and which find no other place and why, before it is drained and while it is. */
export function DrainDialog({ node, open, onClose }: { node: Node; open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const plan = useQuery(drainQuery(node.id, open));
  const drain = useAction(() => need(api.POST("/api/v1/nodes/{id}/drain", { params: { path: { id: node.id } } })), ["node", "pool", "replica"], { onDone: onClose });
  const stop = useAction(() => need(api.PATCH("/api/v1/nodes/{id}", { params: { path: { id: node.id } }, body: { cordoned: false } })), ["node", "pool", "replica"], { onDone: onClose });
  const moves = plan.data?.moves ?? [];
  const stuck = moves.filter((move) => move.node == null && move.state !== "draining").length;
  return (
    <Modal
      title={t("nodes.drainTitle", { name: node.name })}
      open={open}
      onCancel={onClose}
      width={760}
      okText={t(node.draining ? "nodes.drainEnd" : "nodes.drain")}
      cancelText={t("action.cancel")}
      okButtonProps={{ danger: !node.draining, disabled: !plan.data, loading: drain.isPending || stop.isPending }}
      onOk={() => (node.draining ? stop : drain).mutate(undefined)}
      destroyOnHidden
    >
      <div className="stack wide">
        <div>{t("nodes.drainText")}</div>
        {plan.error && !plan.data && <ProblemView error={plan.error} retry={() => void plan.refetch()} />}
        {stuck > 0 && <div className="reason warn">{t("nodes.drainStuck", { count: stuck })}</div>}
        <Table<DrainMove>
          size="small"
          pagination={false}
          loading={plan.isPending}
          scroll={{ x: "max-content", y: 320 }}
          rowKey={(move) => move.replica}
          dataSource={moves}
          locale={{ emptyText: <span className="quiet">{t("nodes.drainNothing")}</span> }}
          columns={[
            { title: t("search.service"), render: (_, move) => <div><Link to={`/services/${move.service}`}>{move.service}</Link><div className="mono small quiet">{move.replica}</div></div> },
            { title: t("keys.project"), dataIndex: "project" },
            { title: t("services.state"), render: (_, move) => <State state={move.state} /> },
            { title: t("nodes.drainTo"), render: (_, move) => move.node ?? <span style={{ whiteSpace: "normal" }}>{move.state !== "draining" && <b>{t("nodes.drainStays")} </b>}{localized(move.reason)}</span> },
          ]}
        />
      </div>
    </Modal>
  );
}
