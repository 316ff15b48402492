import { Form, Input, Modal, Select } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Model, ModelUpdate } from "../../api/schema";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { useAction } from "../../queries/action";
import { MODEL_TYPES } from "./Models";

export function EditModel({ model, open, onClose }: { model: Model; open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<ModelUpdate>();
  const written = Form.useWatch((values: ModelUpdate) => values, form);
  const save = useAction((body: ModelUpdate) => need(api.PATCH("/api/v1/models/{name}", { params: { path: { name: model.name } }, body })), ["model"], { onDone: onClose });
  return (
    <Modal title={t("models.editTitle", { name: model.name })} open={open} onCancel={onClose} okText={t("action.save")} cancelText={t("action.cancel")} confirmLoading={save.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form form={form} layout="vertical" initialValues={{ description: model.description, type: model.type, visibility: model.visibility }} onFinish={(values) => save.mutate(values)}>
        <Form.Item name="description" label={t("models.description")}><Input.TextArea maxLength={2000} autoSize={{ minRows: 2 }} /></Form.Item>
        <Form.Item name="type" label={t("models.type")}><Select options={MODEL_TYPES.map((value) => ({ value, label: t(`modelType.${value}`) }))} /></Form.Item>
        <Form.Item name="visibility" label={t("models.visibility")}>
          <Select options={[{ value: "public", label: t("visibility.public") }, { value: "project", label: t("visibility.ofProject", { project: model.project }) }]} />
        </Form.Item>
        <Equivalent same={sameAs(model, written ?? {})} />
      </Form>
    </Modal>
  );
}

function sameAs({ name, project }: Model, body: ModelUpdate): Same {
  const options = Object.entries(body).flatMap(([option, value]) => [`--${option}`, value ?? ""]);
  return { command: ["aicp", "model", "update", name, ...options], method: "PATCH", path: `/api/v1/models/${name}`, body, document: { kind: "model", name, project, ...body } };
}
