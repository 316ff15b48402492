import { App, Button, Dropdown, InputNumber, Modal } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { api, need } from "../../api/client";
import type { Service, ServiceUpdate } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { useAction } from "../../queries/action";

export function ServiceActions({ service }: { service: Service }) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const navigate = useNavigate();
  const [dialog, setDialog] = useState<"scale" | "delete" | null>(null);
  const [replicas, setReplicas] = useState(service.spec.replicas ?? 1);
  const path = { name: service.name };
  const update = useAction((body: ServiceUpdate) => need(api.PATCH("/api/v1/services/{name}", { params: { path }, body })), ["service", "replica"], { onDone: () => setDialog(null) });
  const stop = () =>
    void modal.confirm({ title: t("services.stopTitle", { name: service.name }), content: t("services.stopText"), okText: t("services.stop"), okButtonProps: { danger: true }, cancelText: t("action.cancel"), onOk: () => update.mutateAsync({ stopped: true }).catch(() => undefined) });
  const choose = (key: string) => {
    if (key === "start") update.mutate({ stopped: false });
    else if (key === "stop") stop();
    else {
      setReplicas(service.spec.replicas ?? 1);
      setDialog(key === "scale" ? "scale" : "delete");
    }
  };
  return (
    <>
      <Dropdown
        trigger={["click"]}
        menu={{
          items: [
            { key: "scale", label: t("services.scale"), disabled: service.stopped || Boolean(service.spec.autoscale) },
            service.stopped ? { key: "start", label: t("services.start") } : { key: "stop", label: t("services.stop") },
            { type: "divider" },
            { key: "delete", danger: true, label: t("action.delete") },
          ],
          onClick: ({ key }) => choose(key),
        }}
      >
        <Button loading={update.isPending}>{t("action.more")}</Button>
      </Dropdown>
      <Modal title={t("services.scaleTitle", { name: service.name })} open={dialog === "scale"} onCancel={() => setDialog(null)} okText={t("services.scale")} cancelText={t("action.cancel")} confirmLoading={update.isPending} onOk={() => update.mutate({ replicas })}>
        <label className="stack">
          <span>{t("publish.replicas")}</span>
          <InputNumber min={0} max={1000} precision={0} value={replicas} onChange={(value) => setReplicas(value ?? 0)} style={{ width: 160 }} autoFocus />
          <span className="small quiet">{t("services.scaleHint")}</span>
        </label>
      </Modal>
      <ConfirmName
        open={dialog === "delete"}
        onClose={() => setDialog(null)}
        name={service.name}
        title={t("services.deleteTitle", { name: service.name })}
        consequence={t("services.deleteText", { name: service.name })}
        action={t("action.delete")}
        onConfirm={async () => {
          await need(api.DELETE("/api/v1/services/{name}", { params: { path } }));
          await navigate("/services");
        }}
      />
    </>
  );
}
