import { MinusCircleOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Drawer, Form, Input, InputNumber, Select, Switch } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Pool } from "../../api/schema";
import { Equivalent } from "../../parts/Equivalent";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { projectChoices } from "../../queries/project";
import { bodyOf, creationOf, isLabel, POLICIES, PURPOSES, sameAs, valuesOf, type PoolValues } from "./poolValues";

const DAYS = [1, 2, 3, 4, 5, 6, 7] as const;
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
const CLOCK = /^([01]\d|2[0-3]):[0-5]\d$/;

/** Makes a pool, or changes what is said of it; its name stays, services refer to it. */
export function PoolDialog({ open, editing, onClose }: { open: boolean; editing?: Pool; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<PoolValues>();
  const written = Form.useWatch((values: PoolValues) => values, form);
  const create = useAction((values: PoolValues) => need(api.POST("/api/v1/pools", { body: creationOf(values) })), ["pool"], { form, onDone: onClose });
  const update = useAction((values: PoolValues) => need(api.PATCH("/api/v1/pools/{name}", { params: { path: { name: editing?.name ?? "" } }, body: bodyOf(values) })), ["pool"], { form, onDone: onClose });
  const needed = { required: true, message: t("form.required") };
  const save = <Button type="primary" loading={create.isPending || update.isPending} onClick={() => form.submit()}>{t(editing ? "action.save" : "pools.create")}</Button>;
  return (
    <Drawer title={editing ? t("pools.editTitle", { name: editing.name }) : t("pools.create")} open={open} onClose={onClose} size={640} destroyOnHidden extra={save}>
      <Form<PoolValues> form={form} layout="vertical" preserve={false} clearOnDestroy initialValues={editing ? valuesOf(editing) : { purpose: "inference", policy: "spread", unlike: true }} onFinish={(values) => (editing ? update : create).mutate(values)}>
        {!editing && <Form.Item name="name" label={t("pools.name")} rules={[needed, { pattern: NAME, message: t("form.name") }]}><Input autoFocus autoComplete="off" /></Form.Item>}
        <Form.Item name="description" label={t("models.description")}><Input.TextArea maxLength={2000} autoSize={{ minRows: 2, maxRows: 6 }} /></Form.Item>
        <Form.Item name="purpose" label={t("pools.purpose")} extra={t(`pools.purposeHints.${written?.purpose ?? "inference"}`)}><Select options={PURPOSES.map((value) => ({ value, label: t(`pools.purposes.${value}`) }))} /></Form.Item>
        {written?.purpose === "windows" && <Windows />}
        <Form.Item name="policy" label={t("pools.policy")} extra={t(`pools.policyHints.${written?.policy ?? "spread"}`)}><Select options={POLICIES.map((value) => ({ value, label: t(`pools.policies.${value}`) }))} /></Form.Item>
        <Form.Item name="unlike" valuePropName="checked" label={t("pools.unlike")} extra={t("pools.unlikeHint")}><Switch /></Form.Item>
        <Form.Item name="labels" label={t("pools.labels")} extra={t("pools.labelsHint")} rules={[{ validator: (_, words: string[] | undefined) => ((words ?? []).every(isLabel) ? Promise.resolve() : Promise.reject(new Error(t("pools.labelWrong")))) }]}><Select mode="tags" open={false} suffixIcon={null} /></Form.Item>
        <Form.Item name="memory_oversubscription" label={t("pools.oversubscription")} extra={t("pools.oversubscriptionHint")}><InputNumber min={1} max={2} step={0.1} placeholder="1" style={{ width: "100%" }} /></Form.Item>
        <Form.Item name="borrowing" valuePropName="checked" label={t("pools.borrowing")} extra={t("pools.borrowingHint")}><Switch /></Form.Item>
        <Quotas borrowing={written?.borrowing ?? false} />
        <Equivalent same={sameAs(written ?? {}, editing)} />
      </Form>
    </Drawer>
  );
}

function Windows() {
  const { t } = useTranslation();
  const clock = [{ required: true, message: t("form.required") }, { pattern: CLOCK, message: t("pools.clockWrong") }];
  return (
    <Form.List name="windows" initialValue={[{ days: [1, 2, 3, 4, 5], start: "22:00", end: "06:00", time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone }]}>
      {(fields, { add, remove }) => (
        <Form.Item label={t("pools.windows")}>
          {fields.map(({ key, name }) => (
            <div key={key} className="row" style={{ alignItems: "start" }}>
              <Form.Item name={[name, "days"]} style={{ flex: 3 }}><Select mode="multiple" aria-label={t("pools.days")} placeholder={t("pools.everyDay")} options={DAYS.map((value) => ({ value, label: t(`pools.day.${value}`) }))} /></Form.Item>
              <Form.Item name={[name, "start"]} rules={clock} style={{ width: 84 }}><Input aria-label={t("pools.start")} placeholder="22:00" /></Form.Item>
              <Form.Item name={[name, "end"]} rules={clock} style={{ width: 84 }}><Input aria-label={t("pools.end")} placeholder="06:00" /></Form.Item>
              <Form.Item name={[name, "time_zone"]} style={{ flex: 2 }}><Input aria-label={t("pools.timeZone")} placeholder="UTC" /></Form.Item>
              <Button type="text" icon={<MinusCircleOutlined />} aria-label={t("action.remove")} disabled={fields.length === 1} onClick={() => remove(name)} />
            </div>
          ))}
          <Button icon={<PlusOutlined />} onClick={() => add({ time_zone: "UTC" })}>{t("pools.addWindow")}</Button>
        </Form.Item>
      )}
    </Form.List>
  );
}

function Quotas({ borrowing }: { borrowing: boolean }) {
  const { t } = useTranslation();
  const none = t("limits.none");
  return (
    <Form.List name="quotas">
      {(fields, { add, remove }) => (
        <Form.Item label={t("pools.quotas")} extra={t("pools.quotasHint")}>
          {fields.map(({ key, name }) => (
            <div key={key} className="row" style={{ alignItems: "start" }}>
              <Form.Item name={[name, "project"]} rules={[{ required: true, message: t("form.required") }]} style={{ flex: 2 }}><SearchSelect kind="project" label={t("keys.project")} load={projectChoices} /></Form.Item>
              <Form.Item name={[name, "accelerators"]} style={{ flex: 1 }}><InputNumber aria-label={t("nodes.accelerators")} title={t("nodes.accelerators")} min={0} precision={0} placeholder={none} style={{ width: "100%" }} /></Form.Item>
              <Form.Item name={[name, "compute_percent"]} style={{ flex: 1 }}><InputNumber aria-label={t("pools.computePercent")} title={t("pools.computePercent")} min={0} precision={0} suffix="%" placeholder={none} style={{ width: "100%" }} /></Form.Item>
              <Form.Item name={[name, "memory_gib"]} style={{ flex: 1 }}><InputNumber aria-label={t("nodes.memoryAll")} title={t("nodes.memoryAll")} min={0} suffix="GiB" placeholder={none} style={{ width: "100%" }} /></Form.Item>
              <Form.Item name={[name, "lend_percent"]} hidden={!borrowing} style={{ flex: 1 }}><InputNumber aria-label={t("pools.lend")} title={t("pools.lend")} min={0} max={100} precision={0} suffix="%" placeholder="100" style={{ width: "100%" }} /></Form.Item>
              <Form.Item name={[name, "borrow_percent"]} hidden={!borrowing} style={{ flex: 1 }}><InputNumber aria-label={t("pools.borrow")} title={t("pools.borrow")} min={0} precision={0} suffix="%" placeholder={none} style={{ width: "100%" }} /></Form.Item>
              <Button type="text" icon={<MinusCircleOutlined />} aria-label={t("action.remove")} onClick={() => remove(name)} />
            </div>
          ))}
          <Button icon={<PlusOutlined />} onClick={() => add({})}>{t("pools.addQuota")}</Button>
        </Form.Item>
      )}
    </Form.List>
  );
}
