import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Form, Input, Modal, Select, Slider } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Route } from "../../api/schema";
import { Equivalent } from "../../parts/Equivalent";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { projectChoices, useHomeProject } from "../../queries/project";
import { providersQuery } from "../../queries/routes";
import { servicesQuery } from "../../queries/services";
import { useMay } from "../../queries/session";
import { changed, creation, sameAs, shareOf, valuesOf, type RouteValues } from "./routeValues";

/** Makes a route, or changes where it leads; name and project stay. */
export function RouteDialog({ open, editing, onClose }: { open: boolean; editing: Route | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<RouteValues>();
  const written = Form.useWatch((values: RouteValues) => values, form);
  const home = useHomeProject();
  const destinations = useDestinations(open);
  const create = useAction((values: RouteValues) => need(api.POST("/api/v1/routes", { body: creation(values) })), ["route"], { form, onDone: onClose });
  const update = useAction((values: RouteValues) => need(api.PATCH("/api/v1/routes/{name}", { params: { path: { name: editing?.name ?? "" } }, body: editing ? changed(values, editing) : {} })), ["route"], { form, onDone: onClose });
  return (
    <Modal title={editing ? t("routes.editTitle", { name: editing.name }) : t("routes.create")} open={open} onCancel={onClose} width={640} okText={t(editing ? "action.save" : "routes.create")} cancelText={t("action.cancel")} confirmLoading={create.isPending || update.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form<RouteValues> form={form} layout="vertical" preserve={false} initialValues={editing ? valuesOf(editing) : { project: home, visibility: "public", sticky: "session", arms: [{ weight: 100 }], fallbacks: [] }} onFinish={(values) => (editing ? update : create).mutate(values)}>
        <Form.Item name="name" label={t("routes.name")} extra={t("routes.nameHint")} rules={editing ? [] : [{ required: true, message: t("form.required") }, { pattern: /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, message: t("form.name") }]}><Input autoFocus={!editing} disabled={Boolean(editing)} autoComplete="off" /></Form.Item>
        <div className="pair">
          <Form.Item name="project" label={t("keys.project")} rules={[{ required: true }]}><SearchSelect kind="project" label={t("keys.project")} disabled={editing !== null} load={projectChoices} /></Form.Item>
          <Form.Item name="visibility" label={t("models.visibility")}><Select options={(["public", "project"] as const).map((value) => ({ value, label: t(`visibility.${value}`) }))} /></Form.Item>
        </div>
        <Arms options={destinations} arms={written?.arms} />
        <Form.Item name="fallbacks" label={t("routes.fallbacks")} extra={t("routes.fallbacksHint")}><Select mode="multiple" placeholder={t("routes.noFallback")} options={destinations} /></Form.Item>
        <Form.Item name="sticky" label={t("routes.sticky")}><Select options={(["session", "key"] as const).map((value) => ({ value, label: t(`routes.stickies.${value}`) }))} /></Form.Item>
        <Form.Item name="description" label={t("models.description")}><Input.TextArea maxLength={2000} autoSize={{ minRows: 1, maxRows: 6 }} /></Form.Item>
        <Equivalent same={sameAs({ ...written, name: editing?.name ?? (written?.name || "NAME"), project: written?.project ?? home }, editing)} />
      </Form>
    </Modal>
  );
}

/** Destinations with their weights; beside each, what share of the requests that is. */
function Arms({ options, arms }: { options: { value: string; label: string }[]; arms: RouteValues["arms"] }) {
  const { t } = useTranslation();
  const most = Math.max(100, ...(arms ?? []).map((arm) => arm?.weight ?? 1));
  return (
    <Form.Item label={t("routes.arms")} extra={t("routes.armsHint")}>
      <Form.List name="arms">
        {(fields, { add, remove }) => (
          <div className="stack">
            {fields.map(({ key, name }) => (
              <div key={key} className="row" style={{ gap: 12 }}>
                <Form.Item name={[name, "to"]} noStyle rules={[{ required: true, message: t("form.required") }]}><Select showSearch style={{ width: 240 }} options={options} placeholder={t("routes.destination")} aria-label={`${t("routes.destination")} ${name + 1}`} /></Form.Item>
                <div className="grow"><Form.Item name={[name, "weight"]} noStyle><Slider min={0} max={most} ariaLabelForHandle={`${t("routes.weight")} ${name + 1}`} /></Form.Item></div>
                <span className="mono small" style={{ width: 56, textAlign: "right" }}>{shareOf(arms?.[name]?.weight, arms)} %</span>
                <Button size="small" type="text" danger icon={<DeleteOutlined />} disabled={fields.length === 1} aria-label={`${t("action.remove")} ${name + 1}`} onClick={() => remove(name)} />
              </div>
            ))}
            <div><Button size="small" icon={<PlusOutlined />} disabled={fields.length >= 20} onClick={() => add({ weight: 10 })}>{t("routes.addArm")}</Button></div>
          </div>
        )}
      </Form.List>
    </Form.Item>
  );
}

/** Every service and every model of a provider that may be chosen. */
function useDestinations(enabled: boolean) {
  const may = useMay();
  const { data: services } = useQuery({ ...servicesQuery(), enabled });
  const { data: providers } = useQuery({ ...providersQuery, enabled: enabled && may("provider:read") });
  const outside = providers?.items.flatMap((provider) => provider.models.map((model) => `${provider.name}:${model}`)) ?? [];
  return [...(services?.items.map((service) => service.name) ?? []), ...outside].map((value) => ({ value, label: value }));
}
