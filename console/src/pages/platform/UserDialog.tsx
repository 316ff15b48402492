import { Form, Input, Modal, Select } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Role, User } from "../../api/schema";
import { Secret } from "../../parts/Code";
import { Equivalent } from "../../parts/Equivalent";
import { useAction } from "../../queries/action";
import { userCode } from "./userCode";

const PLATFORM: Role[] = ["platform-admin", "key-admin", "auditor"];

interface Values {
  name: string;
  email?: string;
  password?: string;
  platform_roles: Role[];
}

export function UserDialog({ open, editing, onClose }: { open: boolean; editing: User | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Values>();
  const [secret, setSecret] = useState<string | null>(null);
  const written = Form.useWatch((values: Values) => values, form);
  const body = (values: Values) => ({ email: values.email || null, password: values.password || undefined, platform_roles: values.platform_roles });
  const create = useAction((values: Values) => need(api.POST("/api/v1/users", { body: { ...body(values), name: values.name } })), ["user"], { form, onDone: (answer) => (answer.password ? setSecret(answer.password) : onClose()) });
  const update = useAction((values: Values) => need(api.PATCH("/api/v1/users/{name}", { params: { path: { name: editing?.name ?? "" } }, body: body(values) })), ["user"], { form, onDone: onClose });
  return (
    <Modal
      title={secret ? t("users.createdTitle") : editing ? t("users.editTitle", { name: editing.name }) : t("users.create")}
      open={open}
      destroyOnHidden
      mask={{ closable: secret === null }}
      onCancel={onClose}
      afterClose={() => setSecret(null)}
      okText={secret ? t("action.done") : t(editing ? "action.save" : "users.create")}
      cancelText={t("action.cancel")}
      cancelButtonProps={{ hidden: secret !== null }}
      confirmLoading={create.isPending || update.isPending}
      onOk={secret ? onClose : () => form.submit()}
    >
      {secret ? <Secret text={secret} /> : (
        <Form<Values> form={form} layout="vertical" preserve={false} initialValues={editing ? { name: editing.name, email: editing.email ?? undefined, platform_roles: editing.platform_roles } : { platform_roles: [] }} onFinish={(values) => (editing ? update : create).mutate(values)}>
          <Form.Item name="name" label={t("users.name")} rules={[{ required: true, message: t("form.required") }, { pattern: /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, message: t("form.name") }]}><Input disabled={editing !== null} autoComplete="off" autoCapitalize="none" /></Form.Item>
          <Form.Item name="email" label={t("users.email")} rules={[{ type: "email", message: t("form.email") }]}><Input autoComplete="off" /></Form.Item>
          <Form.Item name="password" label={t(editing ? "users.newPassword" : "users.password")} extra={t(editing ? "users.newPasswordHint" : "users.passwordHint")} rules={[{ min: 8, message: t("password.rule") }]}><Input.Password autoComplete="new-password" /></Form.Item>
          <Form.Item name="platform_roles" label={t("users.platformRoles")} extra={t("users.rolesHint")}><Select mode="multiple" options={PLATFORM.map((value) => ({ value, label: t(`role.${value}`) }))} /></Form.Item>
          <Equivalent same={userCode(editing?.name ?? (written?.name || "NAME"), written ?? {}, editing !== null)} />
        </Form>
      )}
    </Modal>
  );
}
