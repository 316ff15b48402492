import { useQuery } from "@tanstack/react-query";
import { Button, Skeleton, Tabs } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import { localized } from "../../app/sentences";
import { api, need } from "../../api/client";
import type { Project } from "../../api/schema";
import { Code } from "../../parts/Code";
import { ConfirmName } from "../../parts/ConfirmName";
import { Events } from "../../parts/Events";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { Facts, Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useTab } from "../../parts/url";
import { toYaml } from "../../parts/yaml";
import { useContents, type Contents } from "../../queries/contents";
import { forgetProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { limitsText } from "./limitValues";
import { Members } from "./Members";
import { ProjectDialog } from "./ProjectDialog";
import { ProjectServices, ProjectUsage } from "./ProjectParts";
import { RequestLogTab } from "./RequestLogRule";

export function ProjectPage() {
  const { t } = useTranslation();
  const { name = "" } = useParams();
  const may = useMay();
  const [tab, setTab] = useTab("summary");
  const project = useQuery({ queryKey: ["project", "one", name], queryFn: () => need(api.GET("/api/v1/projects/{name}", { params: { path: { name } } })) });
  const contents = useContents(name);
  if (project.error && !project.data) return <div className="page"><ProblemView error={project.error} retry={() => void project.refetch()} /></div>;
  if (!project.data) return <PageSkeleton />;
  const { data } = project;
  const count = (value: number | null | undefined) => value ?? "–";
  const items = [
    { key: "summary", label: t("models.tabSummary"), children: <div className="stack wide"><Members project={name} />{may("service:read", name) && <ProjectServices project={name} />}{may("usage:read", name) && <ProjectUsage project={name} />}</div> },
    ...(may("usage:read", name) ? [{ key: "requests", label: t("requests.rule"), children: <RequestLogTab project={name} /> }] : []),
    { key: "events", label: t("events.title"), children: <Events key="events" project={name} /> },
    ...(may("audit:read", name) ? [{ key: "changes", label: t("projects.changes"), children: <Events key="changes" audit project={name} /> }] : []),
    { key: "yaml", label: "YAML", children: <Code text={toYaml({ ...data })} /> },
  ];
  return (
    <div className="page">
      <Head crumb={{ to: "/platform/projects", text: t("nav.projects") }} title={name} sub={name === "default" ? localized(data.description) : data.description} actions={<Actions project={data} contents={contents} />} />
      <Facts
        items={[
          [t("projects.organization"), data.organization],
          [t("projects.members"), count(contents.members)],
          [t("nav.services"), <Link key="services" to={`/services?project=${name}`}>{count(contents.services)}</Link>],
          [t("projects.models"), <Link key="models" to={`/models?project=${name}`}>{count(contents.models)}</Link>],
          [t("projects.liveKeys"), <Link key="keys" to={`/platform/keys?project=${name}&state=active`}>{count(contents.keys)}</Link>],
          [t("limits.title"), limitsText(data.limits, t) || t("limits.none")],
          [t("keys.created"), <Time key="created" at={data.created_at} />],
        ]}
      />
      <Tabs activeKey={tab} onChange={setTab} destroyOnHidden items={items} />
    </div>
  );
}

function Actions({ project, contents }: { project: Project; contents: Contents }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const may = useMay();
  const [editing, setEditing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const { name } = project;
  if (!may("project:write", name)) return null;
  const { services, models, keys, members, failed } = contents;
  const holds = (services ?? 0) + (models ?? 0) > 0;
  const known = [services, models, keys, members].every((count) => count !== undefined);
  return (
    <>
      <Button onClick={() => setEditing(true)}>{t("action.edit")}</Button>
      {may("project:write") && <Button danger disabled={name === "default"} title={name === "default" ? t("projects.defaultStays") : undefined} onClick={() => setDeleting(true)}>{t("action.delete")}</Button>}
      <ProjectDialog open={editing} editing={project} onClose={() => setEditing(false)} />
      <ConfirmName
        open={deleting}
        onClose={() => setDeleting(false)}
        name={name}
        title={t("projects.deleteTitle", { name })}
        blocked={holds ? (
          <>
            <p>{t("projects.deleteBlocked")}</p>
            <ul>
              {services != null && services > 0 && <li><Link to={`/services?project=${name}`}>{t("projects.serviceCount", { count: services })}</Link></li>}
              {models != null && models > 0 && <li><Link to={`/models?project=${name}`}>{t("projects.modelCount", { count: models })}</Link></li>}
            </ul>
          </>
        ) : failed ? <ProblemView error={failed.error} retry={() => void failed.refetch()} /> : !known && <Skeleton active title={false} paragraph={{ rows: 3 }} />}
        consequence={
          <>
            <p>{t("projects.deleteText")}</p>
            <ul>
              {keys != null && <li>{t("projects.deleteKeys", { count: keys })}</li>}
              {members != null && <li>{t("projects.deleteMembers", { count: members })}</li>}
              <li>{t("projects.deleteUsage")}</li>
            </ul>
          </>
        }
        action={t("action.delete")}
        onConfirm={async () => {
          await need(api.DELETE("/api/v1/projects/{name}", { params: { path: { name } } }));
          forgetProject(name);
          await navigate("/platform/projects");
        }}
      />
    </>
  );
}
