import { Form, Modal, Select } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Node, NodeUpdate } from "../../api/schema";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { poolChoices } from "../../queries/pools";
import { isLabel, isTaint, labelsOf, labelWords, taintOf, taintWord } from "./poolValues";

interface Values {
  pool: string;
  labels: string[];
  taints: string[];
}

/** Moves a node to another pool, and changes its labels and taints. */
export function NodeDialog({ node, open, onClose }: { node: Node; open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Values>();
  const update = useAction((values: Values) => need(api.PATCH("/api/v1/nodes/{id}", { params: { path: { id: node.id } }, body: bodyOf(values, node) })), ["node", "pool"], { form, onDone: onClose });
  const words = (right: (word: string) => boolean, wrong: string) => [{ validator: (_: unknown, given: string[] | undefined) => ((given ?? []).every(right) ? Promise.resolve() : Promise.reject(new Error(wrong))) }];
  return (
    <Modal title={t("nodes.editTitle", { name: node.name })} open={open} onCancel={onClose} okText={t("action.save")} cancelText={t("action.cancel")} confirmLoading={update.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form<Values> form={form} layout="vertical" preserve={false} clearOnDestroy initialValues={{ pool: node.pool, labels: labelWords(node.labels), taints: node.taints.map(taintWord) }} onFinish={(values) => update.mutate(values)}>
        <Form.Item name="pool" label={t("publish.pool")} extra={t("nodes.poolHint")} rules={[{ required: true, message: t("form.required") }]}><SearchSelect kind="pool" label={t("publish.pool")} load={poolChoices} /></Form.Item>
        <Form.Item name="labels" label={t("pools.labels")} extra={t("pools.labelsHint")} rules={words(isLabel, t("pools.labelWrong"))}><Select mode="tags" open={false} suffixIcon={null} /></Form.Item>
        <Form.Item name="taints" label={t("nodes.taints")} extra={t("nodes.taintsHint")} rules={words(isTaint, t("nodes.taintWrong"))}><Select mode="tags" open={false} suffixIcon={null} /></Form.Item>
      </Form>
    </Modal>
  );
}

function bodyOf({ pool, labels, taints }: Values, node: Node): NodeUpdate {
  return { ...(pool === node.pool ? {} : { pool }), labels: labelsOf(labels), taints: taints.map(taintOf) };
}
