import { PlusOutlined, ProjectOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { localized } from "../../app/sentences";
import type { Project } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { usePaging } from "../../queries/list";
import { projectPageQuery } from "../../queries/project";
import { useMay } from "../../queries/session";
import { Organizations } from "./Organizations";
import { ProjectDialog } from "./ProjectDialog";

export function Projects() {
  const { t } = useTranslation();
  const may = useMay();
  const navigate = useNavigate();
  const [creating, setCreating] = useUrl("create");
  const listing = useQuery(projectPageQuery(usePaging()));
  const create = may("project:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("projects.create")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.projects")} sub={t("projects.sub")} actions={create} />
      <DataTable<Project>
        name="projects"
        listing={listing}
        rowKey={(project) => project.id}
        onOpen={(project) => void navigate(`/platform/projects/${project.name}`)}
        columns={[
          { key: "name", title: t("projects.name"), sort: true, render: (_, project) => <Link className="name" to={`/platform/projects/${project.name}`}>{project.name}</Link> },
          { key: "description", title: t("models.description"), render: (_, project) => (project.description ? <div className="clip" style={{ maxWidth: 420 }} title={said(project)}>{said(project)}</div> : <span className="quiet">–</span>) },
          { key: "organization", title: t("projects.organization"), sort: true, render: (_, project) => project.organization },
          { key: "created_at", title: t("keys.created"), sort: true, render: (_, project) => <Time at={project.created_at} /> },
        ]}
        empty={{ icon: <ProjectOutlined />, title: t("projects.none"), text: t("projects.sub"), action: create }}
      />
      {may("project:write", "*") && <div style={{ marginTop: 16 }}><Organizations /></div>}
      <ProjectDialog open={creating !== ""} onClose={() => setCreating("")} />
    </div>
  );
}

/** The default project's description is the platform's own. */
function said(project: Project): string {
  return project.name === "default" ? localized(project.description) : project.description;
}
