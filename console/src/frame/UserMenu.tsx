import { LockOutlined, LogoutOutlined } from "@ant-design/icons";
import { useQueryClient } from "@tanstack/react-query";
import { Avatar, Button, Dropdown } from "antd";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { api, need } from "../api/client";
import { useAction } from "../queries/action";
import { forgetProject } from "../queries/project";
import { sessionQuery, useSession } from "../queries/session";

export function UserMenu() {
  const { t } = useTranslation();
  const { user } = useSession();
  const client = useQueryClient();
  const navigate = useNavigate();
  const logout = useAction(() => need(api.DELETE("/api/v1/session")), [], {
    onDone: () => {
      forgetProject();
      client.clear();
      client.setQueryData(sessionQuery.queryKey, null);
      void navigate("/login");
    },
  });
  const roles = user.platform_roles.length ? user.platform_roles : [...new Set(Object.values(user.projects))];
  return (
    <Dropdown
      trigger={["click"]}
      placement="bottomRight"
      menu={{
        items: [
          { key: "who", disabled: true, label: <div><div className="strong" style={{ color: "var(--ant-color-text)" }}>{user.name}</div><div className="small quiet">{roles.map((role) => t(`role.${role}`)).join(", ")}</div></div> },
          { type: "divider" },
          { key: "password", icon: <LockOutlined />, label: t("frame.password"), onClick: () => void navigate("/password") },
          { key: "logout", icon: <LogoutOutlined />, label: t("frame.logout"), onClick: () => logout.mutate(undefined) },
        ],
      }}
    >
      <Button type="text" style={{ paddingInline: 6 }} aria-label={t("frame.user", { name: user.name })} data-testid="user">
        <Avatar size={26} style={{ background: "#0e6a73", color: "#fff", fontSize: 12, fontWeight: 600 }}>{user.name.slice(0, 2).toUpperCase()}</Avatar>
      </Button>
    </Dropdown>
  );
}
