import { InboxOutlined } from "@ant-design/icons";
import { Form, Modal, Select, Upload } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Batch, BatchCreate, BatchEndpoint } from "../../api/schema";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { formatBytes } from "../../parts/format";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { orderBatch } from "../../queries/batches";
import { livingKeyChoices } from "../../queries/keys";
import { projectChoices, useHomeProject } from "../../queries/project";

type Values = Pick<BatchCreate, "api_key_id" | "endpoint" | "completion_window"> & { project: string };

const ENDPOINTS: BatchEndpoint[] = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/rerank", "/v1/score"];
const WINDOWS = ["1h", "6h", "24h", "3d", "7d"];

/** Sends a file of requests and orders a batch over it, counted to a key of the project. */
export function OrderBatch({ open, onClose, onDone }: { open: boolean; onClose: () => void; onDone: (batch: Batch) => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Values>();
  const home = useHomeProject();
  const [file, setFile] = useState<File>();
  const written = Form.useWatch((values: Values) => values, form);
  const project = written?.project ?? home;
  const order = useAction(orderBatch, ["batch", "file"], { form, done: t("batches.ordered"), onDone: (batch) => { setFile(undefined); onDone(batch); } });
  const choices = (values: string[]) => values.map((value) => ({ value, label: value }));
  const required = [{ required: true, message: t("form.required") }];
  return (
    <Modal title={t("batches.order")} open={open} onCancel={onClose} okText={t("batches.order")} cancelText={t("action.cancel")} okButtonProps={{ disabled: !file }} confirmLoading={order.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form form={form} layout="vertical" initialValues={{ project: home, endpoint: ENDPOINTS[0], completion_window: "24h" }} onFinish={(values) => file && order.mutate({ ...values, file })}>
        <Form.Item label={t("batches.file")} extra={t("batches.fileHint")}>
          <Upload.Dragger showUploadList={false} accept=".jsonl,.ndjson,.json,.txt" beforeUpload={(chosen) => { setFile(chosen); return false; }}>
            <p style={{ fontSize: 26, margin: 0, color: "var(--ant-color-primary)" }}><InboxOutlined /></p>
            <p style={{ margin: "4px 0 0" }} className="strong">{file ? `${file.name} · ${formatBytes(file.size)}` : t("batches.drop")}</p>
          </Upload.Dragger>
        </Form.Item>
        <Form.Item name="project" label={t("keys.project")} rules={required}><SearchSelect kind="project" label={t("keys.project")} load={projectChoices} onChange={() => form.setFieldsValue({ api_key_id: undefined })} /></Form.Item>
        <Form.Item name="api_key_id" label={t("batches.key")} extra={t("batches.keyHint")} rules={required}><SearchSelect key={project} kind="key" label={`${t("batches.key")} ${project}`} placeholder={t("batches.key")} load={livingKeyChoices(project)} /></Form.Item>
        <Form.Item name="endpoint" label={t("batches.endpoint")} rules={required}><Select options={choices(ENDPOINTS)} /></Form.Item>
        <Form.Item name="completion_window" label={t("batches.window")} extra={t("batches.windowHint")} rules={required}><Select options={choices(WINDOWS)} /></Form.Item>
        <Equivalent same={sameAs(file?.name ?? "requests.jsonl", { ...written, project })} />
      </Form>
    </Modal>
  );
}

function sameAs(name: string, { project, api_key_id, endpoint, completion_window }: Partial<Values>): Same {
  const options = Object.entries({ "project": project, "key": api_key_id ?? "KEY", "endpoint": endpoint, "completion-window": completion_window });
  return { command: ["aicp", "batch", "create", name, ...options.flatMap(([option, value]) => (value ? [`--${option}`, value] : []))], method: "POST", path: "/api/v1/batches", body: { input_file_id: "FILE_ID", api_key_id: api_key_id ?? "KEY", endpoint, completion_window } };
}
