import { PlusOutlined, TeamOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Select, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useParams } from "react-router";
import { api, need } from "../../api/client";
import type { Member, Role } from "../../api/schema";
import { localized } from "../../app/sentences";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { Head } from "../../parts/Page";
import { useAction } from "../../queries/action";
import { useMay } from "../../queries/session";

const ROLES: Role[] = ["project-admin", "developer", "viewer"];

export function ProjectPage() {
  const { t } = useTranslation();
  const { name = "" } = useParams();
  const navigate = useNavigate();
  const may = useMay();
  const [deleting, setDeleting] = useState(false);
  const params = { path: { name } };
  const project = useQuery({ queryKey: ["project", "one", name], queryFn: () => need(api.GET("/api/v1/projects/{name}", { params })) });
  const members = useQuery({ queryKey: ["project", "members", name], queryFn: () => need(api.GET("/api/v1/projects/{name}/members", { params })) });
  const give = useAction(({ user, role }: Member) => need(api.PUT("/api/v1/projects/{name}/members/{user}", { params: { path: { name, user } }, body: { role } })), ["project", "user"]);
  const drop = useAction((user: string) => need(api.DELETE("/api/v1/projects/{name}/members/{user}", { params: { path: { name, user } } })), ["project", "user"]);
  if (project.error) return <div className="page"><ProblemView error={project.error} retry={() => void project.refetch()} /></div>;
  if (!project.data) return <PageSkeleton />;
  const writes = may("member:write", name);
  const roles = ROLES.map((value) => ({ value, label: t(`role.${value}`) }));
  return (
    <div className="page">
      <Head crumb={{ to: "/platform/projects", text: t("nav.projects") }} title={name} sub={name === "default" ? localized(project.data.description) : project.data.description} actions={may("project:write", name) && name !== "default" && <Button danger onClick={() => setDeleting(true)}>{t("action.delete")}</Button>} />
      <h2 className="section">{t("projects.members")}</h2>
      {writes && <AddMember roles={roles} taken={members.data?.items.map((member) => member.user) ?? []} onAdd={(member) => give.mutate(member)} />}
      <DataTable<Member>
        name="members"
        listing={members}
        rowKey={(member) => member.user}
        text={(member) => member.user}
        columns={[
          { key: "user", title: t("users.name"), sort: (member) => member.user, render: (_, member) => <b>{member.user}</b> },
          { key: "role", title: t("projects.role"), sort: (member) => member.role, render: (_, member) => (writes ? <Select size="small" style={{ minWidth: 140 }} aria-label={`${t("projects.role")} ${member.user}`} value={member.role} options={roles} onChange={(role) => give.mutate({ user: member.user, role })} /> : t(`role.${member.role}`)) },
          { key: "actions", title: "", render: (_, member) => writes && <Button size="small" type="text" danger onClick={() => drop.mutate(member.user)}>{t("action.remove")}</Button> },
        ]}
        empty={{ icon: <TeamOutlined />, title: t("projects.noMembers"), text: t("projects.noMembersText") }}
      />
      <ConfirmName
        open={deleting}
        onClose={() => setDeleting(false)}
        name={name}
        title={t("projects.deleteTitle", { name })}
        consequence={t("projects.deleteText")}
        action={t("action.delete")}
        onConfirm={async () => {
          await need(api.DELETE("/api/v1/projects/{name}", { params }));
          await navigate("/platform/projects");
        }}
      />
    </div>
  );
}

function AddMember({ roles, taken, onAdd }: { roles: { value: Role; label: string }[]; taken: string[]; onAdd: (member: Member) => void }) {
  const { t } = useTranslation();
  const may = useMay();
  const [user, setUser] = useState<string | undefined>();
  const [role, setRole] = useState<Role>("developer");
  const { data: users } = useQuery({ queryKey: ["user", "list"], enabled: may("user:read"), queryFn: () => need(api.GET("/api/v1/users", { params: { query: { limit: 500 } } })) });
  return (
    <Space style={{ marginBottom: 12 }} wrap>
      <Select showSearch style={{ width: 220 }} aria-label={t("users.name")} placeholder={t("projects.chooseUser")} value={user} onChange={setUser} options={users?.items.filter((item) => !taken.includes(item.name)).map((item) => ({ value: item.name, label: item.name }))} />
      <Select style={{ width: 160 }} aria-label={t("projects.role")} value={role} onChange={setRole} options={roles} />
      <Button icon={<PlusOutlined />} disabled={!user} onClick={() => { if (user) onAdd({ user, role }); setUser(undefined); }}>{t("projects.add")}</Button>
    </Space>
  );
}
