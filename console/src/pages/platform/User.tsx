import { ProjectOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Tabs, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import type { Role, User } from "../../api/schema";
import { Code } from "../../parts/Code";
import { DataTable } from "../../parts/DataTable";
import { Events } from "../../parts/Events";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { Facts, Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useTab } from "../../parts/url";
import { toYaml } from "../../parts/yaml";
import { useMay } from "../../queries/session";
import { userQuery } from "../../queries/users";
import { UserActions } from "./UserActions";

interface Membership {
  project: string;
  role: Role;
}

export function UserPage() {
  const { t } = useTranslation();
  const { name = "" } = useParams();
  const navigate = useNavigate();
  const may = useMay();
  const [tab, setTab] = useTab("summary");
  const user = useQuery(userQuery(name));
  if (user.error && !user.data) return <div className="page"><ProblemView error={user.error} retry={() => void user.refetch()} /></div>;
  if (!user.data) return <PageSkeleton />;
  const { data } = user;
  const items = [
    { key: "summary", label: t("models.tabSummary"), children: <Projects user={data} /> },
    ...(may("audit:read") ? [{ key: "did", label: t("users.did"), children: <Events key="did" audit actor={name} /> }, { key: "events", label: t("users.changes"), children: <Events key="events" audit kind="user" name={name} /> }] : []),
    { key: "yaml", label: "YAML", children: <Code text={toYaml(data)} /> },
  ];
  return (
    <div className="page">
      <Head
        crumb={{ to: "/platform/users", text: t("nav.users") }}
        title={name}
        state={<State state={data.disabled ? "disabled" : "active"} />}
        sub={data.must_change_password ? t("users.mustChange") : undefined}
        actions={<UserActions user={data} onDeleted={() => void navigate("/platform/users")} />}
      />
      <Facts
        items={[
          [t("users.email"), data.email ?? "–"],
          [t("users.platformRoles"), data.platform_roles.length ? data.platform_roles.map((role) => <Tag key={role}>{t(`role.${role}`)}</Tag>) : "–"],
          [t("nav.projects"), Object.keys(data.projects).length],
          [t("users.lastLogin"), <Time key="login" at={data.last_login_at} />],
          [t("keys.created"), <Time key="created" at={data.created_at} />],
        ]}
      />
      <Tabs activeKey={tab} onChange={setTab} destroyOnHidden items={items} />
    </div>
  );
}

function Projects({ user }: { user: User }) {
  const { t } = useTranslation();
  const rows = Object.entries(user.projects).map<Membership>(([project, role]) => ({ project, role }));
  return (
    <DataTable<Membership>
      name="memberships"
      listing={{ data: { items: rows, total: rows.length }, isPending: false, error: null, refetch: () => undefined }}
      rowKey={(row) => row.project}
      text={(row) => row.project}
      columns={[
        { key: "project", title: t("keys.project"), sort: (row) => row.project, render: (_, row) => <Link className="name" to={`/platform/projects/${row.project}`}>{row.project}</Link> },
        { key: "role", title: t("projects.role"), sort: (row) => row.role, render: (_, row) => t(`role.${row.role}`) },
      ]}
      empty={{ icon: <ProjectOutlined />, title: t("users.noProjects"), text: t("users.noProjectsText") }}
    />
  );
}
