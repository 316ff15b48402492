import { PlusOutlined, TeamOutlined } from "@ant-design/icons";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Button, Select, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, need } from "../../api/client";
import type { Member, Role } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { usePaging } from "../../queries/list";
import { useMay } from "../../queries/session";
import { userChoices } from "../../queries/users";

const ROLES: Role[] = ["project-admin", "developer", "viewer"];

/** Who works in a project, and as what. */
export function Members({ project }: { project: string }) {
  const { t } = useTranslation();
  const may = useMay();
  const [removing, setRemoving] = useState<Member | null>(null);
  const query = usePaging();
  const members = useQuery({ queryKey: ["project", "members", project, query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/projects/{name}/members", { params: { path: { name: project }, query } })) });
  const give = useAction(({ user, role }: Member) => need(api.PUT("/api/v1/projects/{name}/members/{user}", { params: { path: { name: project, user } }, body: { role } })), ["project", "user"]);
  const drop = useAction((user: string) => need(api.DELETE("/api/v1/projects/{name}/members/{user}", { params: { path: { name: project, user } } })), ["project", "user"], { silent: true });
  const writes = may("member:write", project);
  const roles = ROLES.map((value) => ({ value, label: t(`role.${value}`) }));
  return (
    <section>
      <h2 className="section">{t("projects.members")}</h2>
      {writes && <AddMember roles={roles} onAdd={(member) => give.mutate(member)} />}
      <DataTable<Member>
        name="members"
        listing={members}
        rowKey={(member) => member.user}
        columns={[
          { key: "user", title: t("users.name"), sort: true, render: (_, member) => (may("user:read") ? <Link className="name" to={`/platform/users/${member.user}`}>{member.user}</Link> : <b>{member.user}</b>) },
          { key: "role", title: t("projects.role"), sort: true, render: (_, member) => (writes ? <Select size="small" style={{ minWidth: 160 }} aria-label={`${t("projects.role")} ${member.user}`} value={member.role} options={roles} onChange={(role) => give.mutate({ user: member.user, role })} /> : t(`role.${member.role}`)) },
          { key: "actions", title: "", render: (_, member) => writes && <Button size="small" type="text" danger aria-label={`${t("action.remove")} ${member.user}`} onClick={() => setRemoving(member)}>{t("action.remove")}</Button> },
        ]}
        empty={{ icon: <TeamOutlined />, title: t("projects.noMembers"), text: t("projects.noMembersText") }}
      />
      <ConfirmName
        open={removing !== null}
        onClose={() => setRemoving(null)}
        name={removing?.user ?? ""}
        title={t("projects.removeTitle", { user: removing?.user, name: project })}
        consequence={t("projects.removeText", { user: removing?.user })}
        action={t("action.remove")}
        onConfirm={() => drop.mutateAsync(removing?.user ?? "")}
      />
    </section>
  );
}

function AddMember({ roles, onAdd }: { roles: { value: Role; label: string }[]; onAdd: (member: Member) => void }) {
  const { t } = useTranslation();
  const may = useMay();
  const [user, setUser] = useState<string | undefined>();
  const [role, setRole] = useState<Role>("developer");
  const choices = (search: string | undefined) => (may("user:read") ? userChoices(search) : Promise.resolve([]));
  return (
    <Space style={{ marginBottom: 12 }} wrap>
      <SearchSelect kind="user" label={t("users.name")} free={!may("user:read")} style={{ width: 220 }} placeholder={t("projects.chooseUser")} load={choices} value={user} onChange={setUser} />
      <Select style={{ width: 180 }} aria-label={t("projects.role")} value={role} onChange={setRole} options={roles} />
      <Button icon={<PlusOutlined />} disabled={!user} onClick={() => { if (user) onAdd({ user, role }); setUser(undefined); }}>{t("projects.add")}</Button>
    </Space>
  );
}
