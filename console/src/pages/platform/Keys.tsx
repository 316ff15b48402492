import { KeyOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Dropdown, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, need } from "../../api/client";
import type { ApiKey } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { useAction } from "../../queries/action";
import { keysQuery } from "../../queries/keys";
import { useProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { KeyDialog } from "./KeyDialog";

type KeyState = "active" | "revoked" | "expired";

function stateOf(key: ApiKey): KeyState {
  if (key.revoked_at) return "revoked";
  return key.expires_at && new Date(key.expires_at) < new Date() ? "expired" : "active";
}

export function Keys() {
  const { t } = useTranslation();
  const may = useMay();
  const [project] = useProject();
  const [creating, setCreating] = useUrl("create");
  const [editing, setEditing] = useState<ApiKey | null>(null);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const listing = useQuery(keysQuery(project));
  const create = may("key:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("keys.create")}</Button>;
  const revoke = useAction((id: string) => need(api.DELETE("/api/v1/keys/{key_id}", { params: { path: { key_id: id } } })), ["key"]);
  return (
    <div className="page">
      <Head title={t("nav.keys")} sub={t("keys.sub")} actions={create} />
      <DataTable<ApiKey>
        name="keys"
        listing={listing}
        rowKey={(key) => key.id}
        text={(key) => `${key.name} ${key.prefix} ${key.project} ${key.models?.join(" ") ?? ""}`}
        filters={[{ key: "state", label: t("services.state"), options: (["active", "expired", "revoked"] as const).map((value) => ({ value, label: t(`state.${value}`) })), match: (key, value) => stateOf(key) === value }]}
        columns={[
          { key: "name", title: t("keys.name"), sort: (key) => key.name, render: (_, key) => <div><span className="strong">{key.name}</span><div className="small quiet mono">{key.prefix}…</div></div> },
          { key: "state", title: t("services.state"), sort: stateOf, render: (_, key) => <State state={stateOf(key)} /> },
          { key: "project", title: t("keys.project"), sort: (key) => key.project, render: (_, key) => key.project },
          { key: "models", title: t("keys.models"), render: (_, key) => (key.models ? <span className="row wrap" style={{ gap: 4 }}>{key.models.map((name) => <Tag key={name} style={{ margin: 0 }}>{name}</Tag>)}</span> : <span className="quiet">{t("keys.allModels")}</span>) },
          { key: "used", title: t("keys.lastUsed"), sort: (key) => key.last_used_at ?? "", render: (_, key) => <Time at={key.last_used_at} /> },
          { key: "expires", title: t("keys.expires"), sort: (key) => key.expires_at ?? "9", render: (_, key) => (key.expires_at ? <Time at={key.expires_at} /> : <span className="quiet">{t("keys.never")}</span>) },
          { key: "created", title: t("keys.created"), sort: (key) => key.created_at, render: (_, key) => <Time at={key.created_at} /> },
          { key: "by", title: t("keys.by"), optional: true, render: (_, key) => key.created_by ?? "–" },
          { key: "usage", title: "", render: (_, key) => may("usage:read") && <Link to={`/platform/usage?group=key&key=${key.id}`}>{t("keys.usage")}</Link> },
          {
            key: "actions",
            title: "",
            render: (_, key) =>
              !key.revoked_at && may("key:write", key.project) && (
                <Dropdown trigger={["click"]} menu={{ items: [{ key: "edit", label: t("action.edit"), onClick: () => setEditing(key) }, { key: "revoke", danger: true, label: t("keys.revoke"), onClick: () => setRevoking(key) }] }}>
                  <Button size="small" type="text" aria-label={`${t("action.more")} ${key.name}`}>⋯</Button>
                </Dropdown>
              ),
          },
        ]}
        empty={{ icon: <KeyOutlined />, title: t("keys.emptyTitle"), text: t("keys.emptyText"), action: create }}
      />
      <KeyDialog open={creating !== "" || editing !== null} editing={editing} onClose={() => { setCreating(""); setEditing(null); }} />
      <ConfirmName open={revoking !== null} onClose={() => setRevoking(null)} name={revoking?.name ?? ""} title={t("keys.revokeTitle", { name: revoking?.name })} consequence={t("keys.revokeText")} action={t("keys.revoke")} onConfirm={() => revoke.mutateAsync(revoking?.id ?? "")} />
    </div>
  );
}
