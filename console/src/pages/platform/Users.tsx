import { PlusOutlined, TeamOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { User } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrl, useUrlMany } from "../../parts/url";
import { usePaging } from "../../queries/list";
import { useMay } from "../../queries/session";
import { usersQuery } from "../../queries/users";
import { UserActions } from "./UserActions";
import { UserDialog } from "./UserDialog";

const SHOWN_PROJECTS = 3;

export function Users() {
  const { t } = useTranslation();
  const may = useMay();
  const navigate = useNavigate();
  const [url] = useUrlMany();
  const [creating, setCreating] = useUrl("create");
  const state = url.get("state");
  const listing = useQuery(usersQuery({ ...usePaging(), disabled: state === "disabled" ? true : state === "active" ? false : undefined }));
  const create = may("user:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("users.create")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.users")} sub={t("users.sub")} actions={create} />
      <DataTable<User>
        name="users"
        listing={listing}
        rowKey={(user) => user.id}
        onOpen={(user) => void navigate(`/platform/users/${user.name}`)}
        filters={[{ key: "state", label: t("services.state"), options: (["active", "disabled"] as const).map((value) => ({ value, label: t(`state.${value}`) })) }]}
        columns={[
          { key: "name", title: t("users.name"), sort: true, render: (_, user) => <Link className="name" to={`/platform/users/${user.name}`}>{user.name}</Link> },
          { key: "email", title: t("users.email"), sort: true, render: (_, user) => user.email ?? <span className="quiet">–</span> },
          { key: "state", title: t("services.state"), render: (_, user) => <State state={user.disabled ? "disabled" : "active"} /> },
          { key: "platform", title: t("users.platformRoles"), render: (_, user) => user.platform_roles.map((role) => <Tag key={role}>{t(`role.${role}`)}</Tag>) },
          { key: "projects", title: t("nav.projects"), render: (_, user) => <Memberships user={user} /> },
          { key: "last_login_at", title: t("users.lastLogin"), sort: true, render: (_, user) => <Time at={user.last_login_at} /> },
          { key: "created_at", title: t("keys.created"), sort: true, render: (_, user) => <Time at={user.created_at} /> },
          { key: "actions", title: "", render: (_, user) => <UserActions user={user} menu /> },
        ]}
        empty={{ icon: <TeamOutlined />, title: t("users.none"), text: t("users.sub"), action: create }}
      />
      <UserDialog open={creating !== ""} editing={null} onClose={() => setCreating("")} />
    </div>
  );
}

function Memberships({ user }: { user: User }) {
  const { t } = useTranslation();
  const all = Object.entries(user.projects);
  return (
    <>
      {all.slice(0, SHOWN_PROJECTS).map(([project, role]) => <Tag key={project}>{project}: {t(`role.${role}`)}</Tag>)}
      {all.length > SHOWN_PROJECTS && <span className="quiet num">+{all.length - SHOWN_PROJECTS}</span>}
    </>
  );
}
