import { App, Button, Dropdown } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { User } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { useAction } from "../../queries/action";
import { useMay, useSession } from "../../queries/session";
import { UserDialog } from "./UserDialog";

/** What can be done to a user: as buttons on the user's page, as a menu in a list. */
export function UserActions({ user, menu, onDeleted }: { user: User; menu?: boolean; onDeleted?: () => void }) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const may = useMay();
  const me = useSession().user.name === user.name;
  const [editing, setEditing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const update = useAction((disabled: boolean) => need(api.PATCH("/api/v1/users/{name}", { params: { path: { name: user.name } }, body: { disabled } })), ["user"]);
  const remove = useAction(() => need(api.DELETE("/api/v1/users/{name}", { params: { path: { name: user.name } } })), ["user", "project"], { silent: true, onDone: onDeleted });
  if (!may("user:write")) return null;
  const toggle = () => {
    if (user.disabled) update.mutate(false);
    else void modal.confirm({ title: t("users.disableTitle", { name: user.name }), content: t("users.disableText"), okText: t("users.disable"), cancelText: t("action.cancel"), onOk: () => update.mutateAsync(true).catch(() => undefined) });
  };
  return (
    <>
      {menu ? (
        <Dropdown
          trigger={["click"]}
          menu={{
            items: [
              { key: "edit", label: t("action.edit"), onClick: () => setEditing(true) },
              { key: "disable", disabled: me, label: t(user.disabled ? "users.enable" : "users.disable"), onClick: toggle },
              { type: "divider" },
              { key: "delete", danger: true, disabled: me, label: t("action.delete"), onClick: () => setDeleting(true) },
            ],
          }}
        >
          <Button size="small" type="text" aria-label={`${t("action.more")} ${user.name}`}>⋯</Button>
        </Dropdown>
      ) : (
        <>
          <Button onClick={() => setEditing(true)}>{t("action.edit")}</Button>
          <Button disabled={me} loading={update.isPending} onClick={toggle}>{t(user.disabled ? "users.enable" : "users.disable")}</Button>
          <Button danger disabled={me} onClick={() => setDeleting(true)}>{t("action.delete")}</Button>
        </>
      )}
      <UserDialog open={editing} editing={user} onClose={() => setEditing(false)} />
      <ConfirmName
        open={deleting}
        onClose={() => setDeleting(false)}
        name={user.name}
        title={t("users.deleteTitle", { name: user.name })}
        consequence={<><p>{t("users.deleteText")}</p><p>{t("users.deleteMemberships", { count: Object.keys(user.projects).length })}</p></>}
        action={t("action.delete")}
        onConfirm={() => remove.mutateAsync(undefined)}
      />
    </>
  );
}
