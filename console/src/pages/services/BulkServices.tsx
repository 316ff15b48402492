import { App, Button, Space } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Service } from "../../api/schema";
import { useAction } from "../../queries/action";

export function BulkServices({ services, onDone }: { services: Service[]; onDone: () => void }) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const change = useAction((stopped: boolean) => Promise.all(services.map(({ name }) => need(api.PATCH("/api/v1/services/{name}", { params: { path: { name } }, body: { stopped } })))), ["service"], { onDone });
  const stop = () =>
    void modal.confirm({ title: t("services.stopMany", { count: services.length }), content: t("services.stopText"), okText: t("services.stop"), okButtonProps: { danger: true }, cancelText: t("action.cancel"), onOk: () => change.mutateAsync(true).catch(() => undefined) });
  return (
    <Space>
      <Button size="small" onClick={() => change.mutate(false)} loading={change.isPending}>{t("services.start")}</Button>
      <Button size="small" danger onClick={stop}>{t("services.stop")}</Button>
    </Space>
  );
}
