import { Form, Modal, Select } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { ApiKey } from "../../api/schema";
import { Secret } from "../../parts/Code";
import { useAction } from "../../queries/action";

const OVERLAPS = [0, 3_600, 86_400, 604_800, 2_592_000] as const;

/** Gives a key another secret, shown once; the old one goes on for a while. */
export function RotateKey({ apiKey, onClose }: { apiKey: ApiKey | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [secret, setSecret] = useState<string | null>(null);
  const [overlap, setOverlap] = useState<number>(86_400);
  const rotate = useAction((id: string) => need(api.POST("/api/v1/keys/{key_id}/rotate", { params: { path: { key_id: id } }, body: { overlap_seconds: overlap } })), ["key"], { onDone: (answer) => setSecret(answer.secret) });
  return (
    <Modal
      title={secret ? t("keys.createdTitle") : t("keys.rotateTitle", { name: apiKey?.name })}
      open={apiKey !== null}
      destroyOnHidden
      mask={{ closable: secret === null }}
      onCancel={onClose}
      afterClose={() => setSecret(null)}
      okText={secret ? t("action.done") : t("keys.rotate")}
      cancelText={t("action.cancel")}
      cancelButtonProps={{ hidden: secret !== null }}
      confirmLoading={rotate.isPending}
      onOk={secret ? onClose : () => apiKey && rotate.mutate(apiKey.id)}
    >
      {secret ? <Secret text={secret} /> : (
        <Form layout="vertical">
          <p>{t("keys.rotateText")}</p>
          <Form.Item label={t("keys.overlap")}><Select aria-label={t("keys.overlap")} value={overlap} onChange={setOverlap} options={OVERLAPS.map((value) => ({ value, label: t(`keys.overlaps.${value}`) }))} /></Form.Item>
        </Form>
      )}
    </Modal>
  );
}
