import { Form, Modal, Select } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { EngineInfo, EngineInstall } from "../../api/schema";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { nodeChoices } from "../../queries/nodes";

/** Installs a version of an engine; the job shows in the tray. */
export function InstallEngine({ engine, open, onClose }: { engine: EngineInfo; open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<EngineInstall>();
  const written = Form.useWatch((values: EngineInstall) => values, form);
  const install = useAction((body: EngineInstall) => need(api.POST("/api/v1/engines/{name}/install", { params: { path: { name: engine.name } }, body })), ["engine", "job"], { form, done: t("engines.started"), onDone: onClose });
  const choices = (values: string[]) => values.map((value) => ({ value, label: value }));
  return (
    <Modal title={t("engines.installTitle", { name: engine.title })} open={open} onCancel={onClose} okText={t("engines.install")} cancelText={t("action.cancel")} confirmLoading={install.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form form={form} layout="vertical" onFinish={(values) => install.mutate(values)} initialValues={{ version: engine.versions[0] }}>
        <Form.Item name="version" label={t("models.version")} rules={[{ required: true, message: t("form.required") }]}><Select options={choices(engine.versions)} /></Form.Item>
        <Form.Item name="variant" label={t("engines.variant")} extra={t("engines.variantHint")}><Select allowClear placeholder={t("publish.automatic")} options={choices(engine.variants)} /></Form.Item>
        <Form.Item name="node" label={t("nodes.node")}><SearchSelect kind="node" label={t("nodes.node")} allowClear placeholder={t("engines.everyNode")} load={nodeChoices} /></Form.Item>
        <Equivalent same={sameAs(engine.name, written ?? {})} />
      </Form>
    </Modal>
  );
}

function sameAs(name: string, { version, variant, node }: EngineInstall): Same {
  const options = Object.entries({ variant, node }).flatMap(([option, value]) => (value ? [`--${option}`, value] : []));
  return { command: ["aicp", "engine", "install", name, ...(version ? [version] : []), ...options], method: "POST", path: `/api/v1/engines/${name}/install`, body: { version, variant, node } };
}
