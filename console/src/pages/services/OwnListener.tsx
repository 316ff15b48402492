import { ApiOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import { localized } from "../../app/sentences";
import { Code } from "../../parts/Code";
import { ConfirmName } from "../../parts/ConfirmName";
import { Empty, ProblemView } from "../../parts/Feedback";
import { ListenerState, listenerUrl } from "../../parts/ListenerState";
import { Facts, Panel } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useAction } from "../../queries/action";
import { listenersQuery } from "../../queries/listeners";
import { useMay } from "../../queries/session";
import { ListenerDialog } from "./ListenerDialog";

/** The address that a service has for itself, if it has one. */
export function OwnListener({ model }: { model: string }) {
  const { t } = useTranslation();
  const may = useMay();
  const [editing, setEditing] = useState(false);
  const [removing, setRemoving] = useState(false);
  const listeners = useQuery(listenersQuery);
  const remove = useAction(() => need(api.DELETE("/api/v1/listeners/{model}", { params: { path: { model } } })), ["listener"], { silent: true });
  if (listeners.error && !listeners.data) return <ProblemView error={listeners.error} retry={() => void listeners.refetch()} />;
  const listener = listeners.data?.items.find((one) => one.model === model) ?? null;
  const set = may("node:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setEditing(true)}>{t("listeners.set")}</Button>;
  const actions = may("node:write") && (
    <span className="row">
      <Button size="small" onClick={() => setEditing(true)}>{t("action.edit")}</Button>
      <Button size="small" danger onClick={() => setRemoving(true)}>{t("action.remove")}</Button>
    </span>
  );
  return (
    <>
      {listener ? (
        <Panel title={<span className="row">{t("listeners.tab")} <ListenerState listener={listener} /></span>} extra={actions}>
          {listener.reason && <div className={`reason ${listener.state === "failed" ? "bad" : "warn"}`} role="status">{localized(listener.reason)}</div>}
          <Code text={listenerUrl(listener)} />
          <p className="small quiet">{t("listeners.hint")}</p>
          <Facts
            items={[
              [t("gateway.address"), listener.address],
              [t("gateway.port"), listener.port],
              [t("listeners.secure"), listener.tls_certificate ?? "–"],
              [t("prices.since"), <Time key="s" at={listener.set_at} />],
              [t("keys.by"), listener.set_by ?? "–"],
            ]}
          />
        </Panel>
      ) : (
        listeners.data && <Empty icon={<ApiOutlined />} title={t("listeners.none")} text={t("listeners.noneText")} action={set} />
      )}
      <ListenerDialog open={editing} model={model} editing={listener} onClose={() => setEditing(false)} />
      <ConfirmName open={removing} name={model} title={t("listeners.removeTitle", { name: model })} consequence={t("listeners.removeText")} action={t("action.remove")} onConfirm={() => remove.mutateAsync(undefined)} onClose={() => setRemoving(false)} />
    </>
  );
}
