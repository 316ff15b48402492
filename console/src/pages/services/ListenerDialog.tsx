import { Form, Input, InputNumber, Modal } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Listener, ListenerSet } from "../../api/schema";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { useAction } from "../../queries/action";

interface Values {
  address?: string;
  port?: number | null;
  tls_certificate?: string | null;
  tls_key?: string | null;
}

/** Gives a model an address of its own, or another one. */
export function ListenerDialog({ open, model, editing, onClose }: { open: boolean; model: string; editing: Listener | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Values>();
  const written = Form.useWatch((values: Values) => values, form);
  const set = useAction((values: Values) => need(api.PUT("/api/v1/listeners/{model}", { params: { path: { model } }, body: bodyOf(values) })), ["listener", "port"], { form, onDone: onClose });
  return (
    <Modal title={t("listeners.editTitle", { name: model })} open={open} onCancel={onClose} okText={t("action.save")} cancelText={t("action.cancel")} confirmLoading={set.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form<Values> form={form} layout="vertical" preserve={false} clearOnDestroy initialValues={editing ?? { address: "127.0.0.1" }} onFinish={(values) => set.mutate(values)}>
        <p className="small quiet" style={{ marginTop: 0 }}>{t("listeners.hint")}</p>
        <div className="pair">
          <Form.Item name="address" label={t("gateway.address")} extra={t("listeners.addressHint")} rules={[{ required: true, message: t("form.required") }]}><Input autoComplete="off" /></Form.Item>
          <Form.Item name="port" label={t("gateway.port")} extra={t("listeners.portHint")} rules={[{ required: true, message: t("form.required") }]}><InputNumber min={1} max={65535} precision={0} style={{ width: "100%" }} /></Form.Item>
        </div>
        <Form.Item name="tls_certificate" label={t("listeners.certificate")}><Input autoComplete="off" placeholder="/etc/ssl/chat.pem" /></Form.Item>
        <Form.Item name="tls_key" label={t("listeners.key")}><Input autoComplete="off" placeholder="/etc/ssl/chat.key" /></Form.Item>
        <Equivalent same={sameAs(model, written ?? {})} />
      </Form>
    </Modal>
  );
}

function bodyOf({ address, port, tls_certificate, tls_key }: Values): ListenerSet {
  return {
    address: address || "127.0.0.1",
    port: port ?? 0,
    ...(tls_certificate ? { tls_certificate } : {}),
    ...(tls_key ? { tls_key } : {}),
  };
}

function sameAs(model: string, values: Values): Same {
  const body = bodyOf(values);
  const files = [...(body.tls_certificate ? ["--tls-certificate", body.tls_certificate] : []), ...(body.tls_key ? ["--tls-key", body.tls_key] : [])];
  return { command: ["aicp", "listener", "set", model, "--address", body.address ?? "", "--port", String(body.port), ...files], method: "PUT", path: `/api/v1/listeners/${model}`, body };
}
