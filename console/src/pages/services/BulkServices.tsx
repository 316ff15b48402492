import { App, Button, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Service } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { problemText } from "../../parts/Feedback";
import { useAction } from "../../queries/action";

const CHANGES = {
  start: (name: string) => need(api.PATCH("/api/v1/services/{name}", { params: { path: { name } }, body: { stopped: false } })),
  stop: (name: string) => need(api.PATCH("/api/v1/services/{name}", { params: { path: { name } }, body: { stopped: true } })),
  delete: (name: string) => need(api.DELETE("/api/v1/services/{name}", { params: { path: { name } } })),
};

/** The same for every chosen service; those that fail are told and stay chosen. */
export function BulkServices({ services, onDone }: { services: Service[]; onDone: () => void }) {
  const { t } = useTranslation();
  const { modal, message } = App.useApp();
  const [deleting, setDeleting] = useState(false);
  const names = services.map(({ name }) => name);
  const count = names.length;
  const change = useAction((what: keyof typeof CHANGES) => Promise.allSettled(names.map<Promise<unknown>>(CHANGES[what])), ["service"], {
    onDone: (results) => {
      const failed = results.filter((result) => result.status === "rejected");
      if (failed[0]) void message.error(t("services.bulkFailed", { failed: failed.length, count, reason: problemText(failed[0].reason) }), 8);
      else onDone();
    },
  });
  const stop = () =>
    void modal.confirm({ title: t("services.stopMany", { count }), content: t("services.stopText"), okText: t("services.stop"), okButtonProps: { danger: true }, cancelText: t("action.cancel"), onOk: () => change.mutateAsync("stop") });
  return (
    <Space>
      <Button size="small" onClick={() => change.mutate("start")} loading={change.isPending}>{t("services.start")}</Button>
      <Button size="small" danger onClick={stop}>{t("services.stop")}</Button>
      <Button size="small" danger onClick={() => setDeleting(true)}>{t("action.delete")}</Button>
      <ConfirmName
        open={deleting}
        onClose={() => setDeleting(false)}
        name={count === 1 ? (names[0] ?? "") : String(count)}
        title={t("services.deleteMany", { count })}
        consequence={t("services.deleteManyText", { names: names.join(", ") })}
        action={t("action.delete")}
        onConfirm={() => change.mutateAsync("delete")}
      />
    </Space>
  );
}
