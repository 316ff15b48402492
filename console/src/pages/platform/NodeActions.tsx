import { Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { api, need } from "../../api/client";
import type { Node } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { useAction } from "../../queries/action";
import { DrainDialog } from "./DrainDialog";
import { NodeDialog } from "./NodeDialog";

/** Cordon, drain, edit, and forget a node that is lost. */
export function NodeActions({ node }: { node: Node }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [asked, setAsked] = useState<"drain" | "edit" | "remove" | null>(null);
  const cordon = useAction((cordoned: boolean) => need(api.PATCH("/api/v1/nodes/{id}", { params: { path: { id: node.id } }, body: { cordoned } })), ["node", "pool"]);
  const cordoned = node.state === "cordoned";
  const close = () => setAsked(null);
  const remove = async () => {
    await need(api.DELETE("/api/v1/nodes/{id}", { params: { path: { id: node.id } } }));
    void navigate("/platform/nodes");
  };
  return (
    <>
      <Button onClick={() => setAsked("edit")}>{t("action.edit")}</Button>
      {node.state === "lost" ? <Button danger onClick={() => setAsked("remove")}>{t("action.remove")}</Button> : <Button onClick={() => setAsked("drain")}>{t(node.draining ? "nodes.drainProgress" : "nodes.drain")}</Button>}
      <Button title={t("nodes.cordonHint")} loading={cordon.isPending} onClick={() => cordon.mutate(!cordoned)}>{t(cordoned ? "nodes.uncordon" : "nodes.cordon")}</Button>
      <DrainDialog node={node} open={asked === "drain"} onClose={close} />
      <NodeDialog node={node} open={asked === "edit"} onClose={close} />
      <ConfirmName name={node.name} title={t("nodes.removeTitle", { name: node.name })} consequence={t("nodes.removeText")} action={t("action.remove")} open={asked === "remove"} onClose={close} onConfirm={remove} />
    </>
  );
}
