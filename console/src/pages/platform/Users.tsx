import { PlusOutlined, TeamOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Dropdown, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { User, UserUpdate } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { useAction } from "../../queries/action";
import { useMay, useSession } from "../../queries/session";
import { UserDialog } from "./UserDialog";

export function Users() {
  const { t } = useTranslation();
  const may = useMay();
  const me = useSession().user.name;
  const [creating, setCreating] = useUrl("create");
  const [editing, setEditing] = useState<User | null>(null);
  const [deleting, setDeleting] = useState<User | null>(null);
  const listing = useQuery({ queryKey: ["user", "list"], queryFn: () => need(api.GET("/api/v1/users", { params: { query: { limit: 500 } } })) });
  const update = useAction(({ name, ...body }: UserUpdate & { name: string }) => need(api.PATCH("/api/v1/users/{name}", { params: { path: { name } }, body })), ["user"]);
  const remove = useAction((name: string) => need(api.DELETE("/api/v1/users/{name}", { params: { path: { name } } })), ["user"]);
  const writes = may("user:write");
  const create = writes && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("users.create")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.users")} sub={t("users.sub")} actions={create} />
      <DataTable<User>
        name="users"
        listing={listing}
        rowKey={(user) => user.id}
        text={(user) => `${user.name} ${user.email ?? ""}`}
        columns={[
          { key: "name", title: t("users.name"), sort: (user) => user.name, render: (_, user) => <div><span className="strong">{user.name}</span><div className="small quiet">{user.email}</div></div> },
          { key: "state", title: t("services.state"), render: (_, user) => <State state={user.disabled ? "disabled" : "active"} /> },
          { key: "platform", title: t("users.platformRoles"), render: (_, user) => user.platform_roles.map((role) => <Tag key={role}>{t(`role.${role}`)}</Tag>) },
          { key: "projects", title: t("nav.projects"), render: (_, user) => Object.entries(user.projects).map(([project, role]) => <Tag key={project}>{project}: {t(`role.${role}`)}</Tag>) },
          { key: "login", title: t("users.lastLogin"), sort: (user) => user.last_login_at ?? "", render: (_, user) => <Time at={user.last_login_at} /> },
          { key: "created", title: t("keys.created"), sort: (user) => user.created_at, render: (_, user) => <Time at={user.created_at} /> },
          {
            key: "actions",
            title: "",
            render: (_, user) =>
              writes && (
                <Dropdown
                  trigger={["click"]}
                  menu={{
                    items: [
                      { key: "edit", label: t("action.edit"), onClick: () => setEditing(user) },
                      { key: "disable", disabled: user.name === me, label: t(user.disabled ? "users.enable" : "users.disable"), onClick: () => update.mutate({ name: user.name, disabled: !user.disabled }) },
                      { type: "divider" },
                      { key: "delete", danger: true, disabled: user.name === me, label: t("action.delete"), onClick: () => setDeleting(user) },
                    ],
                  }}
                >
                  <Button size="small" type="text" aria-label={`${t("action.more")} ${user.name}`}>⋯</Button>
                </Dropdown>
              ),
          },
        ]}
        empty={{ icon: <TeamOutlined />, title: t("users.none"), text: t("users.sub"), action: create }}
      />
      <UserDialog open={creating !== "" || editing !== null} editing={editing} onClose={() => { setCreating(""); setEditing(null); }} />
      <ConfirmName open={deleting !== null} onClose={() => setDeleting(null)} name={deleting?.name ?? ""} title={t("users.deleteTitle", { name: deleting?.name })} consequence={t("users.deleteText")} action={t("action.delete")} onConfirm={() => remove.mutateAsync(deleting?.name ?? "")} />
    </div>
  );
}
