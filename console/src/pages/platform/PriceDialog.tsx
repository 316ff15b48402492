import { Form, InputNumber, Modal } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Price, PriceSet } from "../../api/schema";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { serviceChoices } from "../../queries/services";

interface Values {
  model?: string;
  input?: number | null;
  cached_input?: number | null;
  output?: number | null;
}

const MOST = 1e9;

/** Sets what a model's tokens cost from now on. */
export function PriceDialog({ open, editing, currency, onClose }: { open: boolean; editing: Price | null; currency: string; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Values>();
  const written = Form.useWatch((values: Values) => values, form);
  const set = useAction((values: Values) => need(api.PUT("/api/v1/prices/{model}", { params: { path: { model: values.model ?? "" } }, body: bodyOf(values) })), ["price"], { form, onDone: onClose });
  const amount = (name: "input" | "cached_input" | "output") => (
    <Form.Item name={name} label={t(name === "cached_input" ? "prices.cached" : `prices.${name}`)} rules={name === "cached_input" ? [] : [{ required: true, message: t("form.required") }]}>
      <InputNumber min={0} max={MOST} suffix={currency} style={{ width: "100%" }} placeholder={name === "cached_input" ? t("prices.asInput") : undefined} />
    </Form.Item>
  );
  return (
    <Modal title={editing ? t("prices.editTitle", { name: editing.model }) : t("prices.create")} open={open} onCancel={onClose} okText={t("action.save")} cancelText={t("action.cancel")} confirmLoading={set.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form<Values> form={form} layout="vertical" preserve={false} clearOnDestroy initialValues={editing ?? undefined} onFinish={(values) => set.mutate(values)}>
        <p className="small quiet" style={{ marginTop: 0 }}>{t("prices.hint")}</p>
        <Form.Item name="model" label={t("prices.model")} rules={[{ required: true, message: t("form.required") }]}><SearchSelect kind="service" label={t("prices.model")} free disabled={editing !== null} load={serviceChoices} /></Form.Item>
        <div className="pair">
          {amount("input")}
          {amount("output")}
        </div>
        {amount("cached_input")}
        <Equivalent same={sameAs(written ?? {})} />
      </Form>
    </Modal>
  );
}

function bodyOf({ input, cached_input, output }: Values): PriceSet {
  return { input: input ?? 0, output: output ?? 0, ...(cached_input == null ? {} : { cached_input }) };
}

function sameAs(values: Values): Same {
  const [model, body] = [values.model || "MODEL", bodyOf(values)];
  const cached = body.cached_input == null ? [] : ["--cached-input", String(body.cached_input)];
  return { command: ["aicp", "price", "set", model, "--input", String(body.input), "--output", String(body.output), ...cached], method: "PUT", path: `/api/v1/prices/${model}`, body };
}
