import { Button, Drawer, Form, InputNumber, Segmented, Switch } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { CacheRule } from "../../api/schema";
import { Equivalent } from "../../parts/Equivalent";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { projectChoices, useHomeProject } from "../../queries/project";
import { serviceChoices } from "../../queries/services";
import { bodyOf, sameAs, USUAL, valuesOf, type CacheValues } from "./cacheValues";

/** Makes a rule, or changes one; project and model stay. */
export function CacheDrawer({ open, editing, onClose }: { open: boolean; editing: CacheRule | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<CacheValues>();
  const written = Form.useWatch((values: CacheValues) => values, form);
  const home = useHomeProject();
  const set = useAction((values: CacheValues) => need(api.PUT("/api/v1/cache-rules/{project}/{model}", { params: { path: { project: values.project ?? "", model: values.model ?? "" } }, body: bodyOf(values) })), ["cache_rule"], { form, onDone: onClose });
  const needed = [{ required: true, message: t("form.required") }];
  const modes = (["on", "measure", "off"] as const).map((value) => ({ value, label: t(`cache.modes.${value}`) }));
  const save = <Button type="primary" loading={set.isPending} onClick={() => form.submit()}>{t("action.save")}</Button>;
  return (
    <Drawer title={editing ? t("cache.editTitle", { name: editing.model }) : t("cache.create")} open={open} onClose={onClose} size={560} destroyOnHidden extra={save}>
      <Form<CacheValues> form={form} layout="vertical" preserve={false} clearOnDestroy initialValues={editing ? valuesOf(editing) : { ...USUAL, project: home }} onFinish={(values) => set.mutate(values)}>
        <div className="pair">
          <Form.Item name="model" label={t("cache.model")} rules={needed}><SearchSelect kind="service" label={t("cache.model")} free disabled={editing !== null} load={serviceChoices} /></Form.Item>
          <Form.Item name="project" label={t("keys.project")} rules={needed}><SearchSelect kind="project" label={t("keys.project")} disabled={editing !== null} load={projectChoices} /></Form.Item>
        </div>
        <Form.Item name="mode" label={t("cache.mode")} extra={written?.mode === "measure" ? t("cache.modeHint") : undefined}><Segmented options={modes} /></Form.Item>
        <div className="pair">
          <Form.Item name="ttl_seconds" label={t("cache.ttl")} rules={needed}><InputNumber min={1} max={2_592_000} precision={0} suffix={t("cache.seconds")} style={{ width: "100%" }} /></Form.Item>
          <Form.Item name="max_entries" label={t("cache.entries")} rules={needed}><InputNumber min={1} max={100_000} precision={0} style={{ width: "100%" }} /></Form.Item>
        </div>
        <div className="pair">
          <Form.Item name="embedding_model" label={t("cache.embedding")} extra={t("cache.embeddingHint")}><SearchSelect kind="service" label={t("cache.embedding")} placeholder={t("cache.exactOnly")} free allowClear load={serviceChoices} /></Form.Item>
          <Form.Item name="threshold" label={t("cache.threshold")}><InputNumber min={0.9} max={1} step={0.01} disabled={!written?.embedding_model} style={{ width: "100%" }} /></Form.Item>
        </div>
        <Form.Item name="any_temperature" label={t("cache.any")} extra={t("cache.anyHint")} valuePropName="checked"><Switch /></Form.Item>
        <Equivalent same={sameAs({ ...written, ...(editing ? { project: editing.project, model: editing.model } : {}) })} />
      </Form>
    </Drawer>
  );
}
