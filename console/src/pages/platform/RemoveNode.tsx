import { useQuery } from "@tanstack/react-query";
import { Skeleton } from "antd";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { api, need } from "../../api/client";
import type { Node } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { ProblemView } from "../../parts/Feedback";
import { useAction } from "../../queries/action";
import { drainQuery } from "../../queries/pools";
import { hasJoined } from "./joinValues";

/** Forgets a node, and says first what becomes of the machine and of the replicas that it holds. */
export function RemoveNode({ node, open, onClose }: { node: Node; open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const held = useQuery(drainQuery(node.id, open));
  const remove = useAction(() => need(api.DELETE("/api/v1/nodes/{id}", { params: { path: { id: node.id } } })), ["node", "pool", "replica"], { silent: true, onDone: () => void navigate("/platform/nodes") });
  const moves = held.data?.moves ?? [];
  const services = [...new Set(moves.map((move) => move.service))].join(", ");
  const lost = node.state === "lost";
  const unknown = held.error && !held.data && <ProblemView error={held.error} retry={() => void held.refetch()} />;
  const blocked = held.isLoading ? <Skeleton active title={false} paragraph={{ rows: 2 }} /> : unknown || (!lost && moves.length > 0 && t("nodes.removeHolds", { count: moves.length, services }));
  return (
    <ConfirmName
      name={node.name}
      title={t("nodes.removeTitle", { name: node.name })}
      blocked={blocked || undefined}
      consequence={
        <ul>
          <li>{moves.length > 0 ? t("nodes.removeEnds", { count: moves.length, services }) : t("nodes.removeNothing")}</li>
          <li>{t(hasJoined(node) ? "nodes.removeJoined" : "nodes.removeOwn")}</li>
        </ul>
      }
      action={t("action.remove")}
      open={open}
      onClose={onClose}
      onConfirm={() => remove.mutateAsync(undefined)}
    />
  );
}
