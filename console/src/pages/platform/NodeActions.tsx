import { Button, Dropdown } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Node } from "../../api/schema";
import { useAction } from "../../queries/action";
import { DrainDialog } from "./DrainDialog";
import { isRemovable } from "./joinValues";
import { NodeDialog } from "./NodeDialog";
import { RemoveNode } from "./RemoveNode";

/** Edit, drain, cordon and remove a node: as buttons, or as the menu of a row. */
export function NodeActions({ node, menu = false }: { node: Node; menu?: boolean }) {
  const { t } = useTranslation();
  const [asked, setAsked] = useState<"drain" | "edit" | "remove" | null>(null);
  const cordon = useAction((cordoned: boolean) => need(api.PATCH("/api/v1/nodes/{id}", { params: { path: { id: node.id } }, body: { cordoned } })), ["node", "pool"]);
  const cordoned = node.state === "cordoned";
  const close = () => setAsked(null);
  const acts = [
    { key: "edit", label: t("action.edit"), onClick: () => setAsked("edit") },
    ...(node.state === "lost" ? [] : [{ key: "drain", label: t(node.draining ? "nodes.drainProgress" : "nodes.drain"), onClick: () => setAsked("drain") }]),
    { key: "cordon", label: t(cordoned ? "nodes.uncordon" : "nodes.cordon"), title: t("nodes.cordonHint"), onClick: () => cordon.mutate(!cordoned) },
    ...(isRemovable(node) ? [{ key: "remove", danger: true, label: t("action.remove"), onClick: () => setAsked("remove") }] : []),
  ];
  return (
    <>
      {menu ? (
        <Dropdown trigger={["click"]} menu={{ items: acts }}>
          <Button size="small" type="text" aria-label={`${t("action.more")} ${node.name}`}>⋯</Button>
        </Dropdown>
      ) : acts.map(({ key, label, ...act }) => <Button key={key} loading={key === "cordon" && cordon.isPending} {...act}>{label}</Button>)}
      <DrainDialog node={node} open={asked === "drain"} onClose={close} />
      <NodeDialog node={node} open={asked === "edit"} onClose={close} />
      <RemoveNode node={node} open={asked === "remove"} onClose={close} />
    </>
  );
}
