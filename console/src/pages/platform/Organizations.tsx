import { useQuery } from "@tanstack/react-query";
import { Button, Form, Modal } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Limits, Organization } from "../../api/schema";
import { Equivalent } from "../../parts/Equivalent";
import { ProblemView } from "../../parts/Feedback";
import { Panel } from "../../parts/Page";
import { useAction } from "../../queries/action";
import { LimitsFields } from "./LimitsFields";
import { limitsSet, limitsText, limitWords } from "./limitValues";

/** The organizations and the limits that all their projects share. */
export function Organizations() {
  const { t } = useTranslation();
  const [editing, setEditing] = useState<Organization | null>(null);
  const { data, error, refetch } = useQuery({ queryKey: ["project", "organizations"], queryFn: () => need(api.GET("/api/v1/organizations")) });
  return (
    <Panel title={t("projects.organizations")} flush>
      {error ? <ProblemView error={error} retry={() => void refetch()} /> : data?.items.map((organization) => (
        <div key={organization.id} className="row spread" style={{ padding: "10px 16px" }}>
          <span className="strong">{organization.name}</span>
          <span className="grow quiet">{limitsText(organization.limits, t) || t("limits.none")}</span>
          <Button size="small" onClick={() => setEditing(organization)} aria-label={`${t("limits.edit")} ${organization.name}`}>{t("limits.edit")}</Button>
        </div>
      ))}
      <OrganizationDialog editing={editing} onClose={() => setEditing(null)} />
    </Panel>
  );
}

function OrganizationDialog({ editing, onClose }: { editing: Organization | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<{ limits?: Limits }>();
  const written = Form.useWatch((values: { limits?: Limits }) => values.limits, form);
  const name = editing?.name ?? "";
  const update = useAction((limits: Limits) => need(api.PATCH("/api/v1/organizations/{name}", { params: { path: { name } }, body: { limits } })), ["project"], { form, onDone: onClose });
  return (
    <Modal title={t("projects.organizationTitle", { name })} open={editing !== null} onCancel={onClose} okText={t("action.save")} cancelText={t("action.cancel")} confirmLoading={update.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form form={form} layout="vertical" preserve={false} clearOnDestroy initialValues={{ limits: editing?.limits }} onFinish={(values: { limits?: Limits }) => update.mutate(limitsSet(values.limits))}>
        <LimitsFields />
        <Equivalent same={{ command: ["aicp", "project", "limit-organization", name, ...limitWords(written, editing?.limits)], method: "PATCH", path: `/api/v1/organizations/${name}`, body: { limits: limitsSet(written) } }} />
      </Form>
    </Modal>
  );
}
