import { PlusOutlined, ProjectOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Form, Input, Modal } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { api, need } from "../../api/client";
import type { Project, ProjectCreate } from "../../api/schema";
import { localized } from "../../app/sentences";
import { DataTable } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { useAction } from "../../queries/action";
import { projectsQuery } from "../../queries/project";
import { useMay } from "../../queries/session";

export function Projects() {
  const { t } = useTranslation();
  const may = useMay();
  const navigate = useNavigate();
  const [creating, setCreating] = useUrl("create");
  const listing = useQuery(projectsQuery);
  const create = may("project:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("projects.create")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.projects")} sub={t("projects.sub")} actions={create} />
      <DataTable<Project>
        name="projects"
        listing={listing}
        rowKey={(project) => project.id}
        text={(project) => `${project.name} ${project.description}`}
        onOpen={(project) => void navigate(`/platform/projects/${project.name}`)}
        columns={[
          { key: "name", title: t("projects.name"), sort: (project) => project.name, render: (_, project) => <Link className="name" to={`/platform/projects/${project.name}`}>{project.name}</Link> },
          { key: "description", title: t("models.description"), render: (_, project) => (project.name === "default" ? localized(project.description) : project.description) || <span className="quiet">–</span> },
          { key: "organization", title: t("projects.organization"), render: (_, project) => project.organization },
          { key: "created", title: t("keys.created"), sort: (project) => project.created_at, render: (_, project) => <Time at={project.created_at} /> },
        ]}
        empty={{ icon: <ProjectOutlined />, title: t("projects.none"), text: t("projects.sub"), action: create }}
      />
      <CreateProject open={creating !== ""} onClose={() => setCreating("")} />
    </div>
  );
}

function CreateProject({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<ProjectCreate>();
  const create = useAction((body: ProjectCreate) => need(api.POST("/api/v1/projects", { body })), ["project", "session"], { onDone: onClose });
  return (
    <Modal title={t("projects.create")} open={open} onCancel={onClose} okText={t("projects.create")} cancelText={t("action.cancel")} confirmLoading={create.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form form={form} layout="vertical" preserve={false} onFinish={(values) => create.mutate(values)}>
        <Form.Item name="name" label={t("projects.name")} rules={[{ required: true, message: t("form.required") }, { pattern: /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, message: t("form.name") }]}><Input autoFocus autoComplete="off" /></Form.Item>
        <Form.Item name="description" label={t("models.description")}><Input maxLength={2000} /></Form.Item>
      </Form>
    </Modal>
  );
}
