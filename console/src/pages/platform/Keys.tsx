import { KeyOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Dropdown, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { ApiKey, KeyState } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrl, useUrlMany } from "../../parts/url";
import { keyPageQuery } from "../../queries/keys";
import { usePaging } from "../../queries/list";
import { useProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { limitUseQuery } from "../../queries/traffic";
import { KeyDialog } from "./KeyDialog";
import { DailyRequests } from "./ProjectParts";
import { KeyUse, TightestUse } from "./LimitUse";
import { limitsText } from "./limitValues";
import { RevokeKeys } from "./RevokeKeys";
import { RotateKey } from "./RotateKey";

/** Keys about to be revoked, and what follows when they are. */
interface Revoking {
  keys: ApiKey[];
  done?: () => void;
}

const STATES: KeyState[] = ["active", "expired", "revoked"];

function stateOf(key: ApiKey): KeyState {
  if (key.revoked_at) return "revoked";
  return key.expires_at && new Date(key.expires_at) < new Date() ? "expired" : "active";
}

export function Keys() {
  const { t } = useTranslation();
  const may = useMay();
  const [project] = useProject();
  const [url, setUrl] = useUrlMany();
  const [creating, setCreating] = useUrl("create");
  const [editing, setEditing] = useState<ApiKey | null>(null);
  const [rotating, setRotating] = useState<ApiKey | null>(null);
  const [revoking, setRevoking] = useState<Revoking>({ keys: [] });
  const listing = useQuery(keyPageQuery({ ...usePaging(), project, tag: url.get("tag") ?? undefined, state: STATES.find((value) => value === url.get("state")) }));
  const limited = (listing.data?.items ?? []).filter((key) => limitsText(key.limits, t) !== "").map((key) => key.id);
  const use = useQuery(limitUseQuery(limited)).data;
  const create = may("key:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("keys.create")}</Button>;
  const revocable = (keys: ApiKey[]) => keys.filter((key) => !key.revoked_at && may("key:write", key.project));
  return (
    <div className="page">
      <Head title={t("nav.keys")} sub={t("keys.sub")} actions={create} />
      <DataTable<ApiKey>
        name="keys"
        listing={listing}
        rowKey={(key) => key.id}
        filters={[{ key: "state", label: t("services.state"), options: STATES.map((value) => ({ value, label: t(`state.${value}`) })) }]}
        narrow={{ keys: ["tag"], controls: url.get("tag") && <Tag closable onClose={() => setUrl({ tag: undefined, page: undefined })}>{url.get("tag")}</Tag> }}
        bulk={may("key:write") ? (keys, done) => <Button danger disabled={revocable(keys).length === 0} onClick={() => setRevoking({ keys: revocable(keys), done })}>{t("keys.revokeMany", { count: revocable(keys).length })}</Button> : undefined}
        expand={may("usage:read") ? (key) => <div className="stack wide"><KeyUse id={key.id} /><KeyUsage id={key.id} /></div> : undefined}
        columns={[
          { key: "name", title: t("keys.name"), sort: true, render: (_, key) => <div><span className="strong">{key.name}</span><div className="small quiet mono">{key.prefix}…</div></div> },
          { key: "state", title: t("services.state"), render: (_, key) => <State state={stateOf(key)} /> },
          { key: "project", title: t("keys.project"), sort: true, render: (_, key) => key.project },
          { key: "models", title: t("keys.models"), render: (_, key) => (key.models ? <span className="row wrap" style={{ gap: 4, maxWidth: 260 }}>{key.models.map((name) => <Tag key={name} style={{ margin: 0 }}>{name}</Tag>)}</span> : <span className="quiet">{t("keys.allModels")}</span>) },
          { key: "tags", title: t("keys.tags"), render: (_, key) => <span className="row wrap" style={{ gap: 4, maxWidth: 220 }}>{key.tags?.map((tag) => <Tag key={tag} style={{ margin: 0 }} className="link" onClick={() => setUrl({ tag, page: undefined })}>{tag}</Tag>)}</span> },
          { key: "use", title: t("keys.use"), render: (_, key) => <TightestUse use={use?.items.find((item) => item.id === key.id)} currency={use?.currency ?? ""} /> },
          { key: "limits", title: t("limits.title"), optional: true, render: (_, key) => limitsText(key.limits, t) || <span className="quiet">{t("limits.none")}</span> },
          { key: "priority", title: t("keys.priority"), optional: true, render: (_, key) => key.priority ?? "default" },
          { key: "last_used_at", title: t("keys.lastUsed"), sort: true, render: (_, key) => <Time at={key.last_used_at} /> },
          { key: "expires_at", title: t("keys.expires"), sort: true, render: (_, key) => (key.expires_at ? <Time at={key.expires_at} /> : <span className="quiet">{t("keys.never")}</span>) },
          { key: "created_at", title: t("keys.created"), sort: true, render: (_, key) => <Time at={key.created_at} /> },
          { key: "by", title: t("keys.by"), optional: true, render: (_, key) => key.created_by ?? "–" },
          {
            key: "actions",
            title: "",
            render: (_, key) =>
              !key.revoked_at && may("key:write", key.project) && (
                <Dropdown trigger={["click"]} menu={{ items: [{ key: "edit", label: t("action.edit"), onClick: () => setEditing(key) }, { key: "rotate", label: t("keys.rotate"), onClick: () => setRotating(key) }, { key: "revoke", danger: true, label: t("keys.revoke"), onClick: () => setRevoking({ keys: [key] }) }] }}>
                  <Button size="small" type="text" aria-label={`${t("action.more")} ${key.name}`}>⋯</Button>
                </Dropdown>
              ),
          },
        ]}
        empty={{ icon: <KeyOutlined />, title: t("keys.emptyTitle"), text: t("keys.emptyText"), action: create }}
      />
      <KeyDialog key={editing?.id ?? "new"} open={creating !== "" || editing !== null} editing={editing} onClose={() => { setCreating(""); setEditing(null); }} />
      <RotateKey apiKey={rotating} onClose={() => setRotating(null)} />
      <RevokeKeys keys={revoking.keys} onDone={revoking.done} onClose={() => setRevoking({ keys: [] })} />
    </div>
  );
}

function KeyUsage({ id }: { id: string }) {
  const { t } = useTranslation();
  return (
    <div className="stack">
      <div className="row spread"><span className="strong">{t("keys.daily")}</span><Link to={`/platform/usage?span=30d&key=${id}`}>{t("keys.usage")}</Link></div>
      <DailyRequests which={{ api_key_id: id }} label={t("keys.daily")} />
    </div>
  );
}
