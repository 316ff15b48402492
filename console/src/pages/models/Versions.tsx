import { TagsOutlined } from "@ant-design/icons";
import { useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { Button, Dropdown, Input, Modal, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, need } from "../../api/client";
import type { Model, ModelVersion } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { formatBytes, formatCount } from "../../parts/format";
import { Time } from "../../parts/Time";
import { useAction } from "../../queries/action";

interface Props {
  model: Model;
  versions: UseQueryResult<{ items: ModelVersion[]; total: number }>;
  writes: boolean;
}

export function Versions({ model, versions, writes }: Props) {
  const { t } = useTranslation();
  const [removing, setRemoving] = useState<{ version: ModelVersion } | { alias: string } | null>(null);
  const [naming, setNaming] = useState<string | null>(null);
  const aliases = (version: string) => Object.entries(model.aliases).filter(([, target]) => target === version).map(([alias]) => alias);
  return (
    <>
      <DataTable<ModelVersion>
        name="versions"
        listing={versions}
        rowKey={(version) => version.id}
        text={(version) => `${version.version} ${version.digest}`}
        columns={[
          { key: "version", title: t("models.version"), sort: (version) => version.created_at, render: (_, version) => <Link className="name" to={`?version=${version.version}`}>{version.version}</Link> },
          {
            key: "aliases",
            title: t("models.aliases"),
            render: (_, version) =>
              aliases(version.version).map((alias) => (
                <Tag key={alias} closable={writes && alias !== "latest"} onClose={(event) => { event.preventDefault(); setRemoving({ alias }); }}>{alias}</Tag>
              )),
          },
          { key: "digest", title: t("origin.digest"), render: (_, version) => <span className="mono quiet">{version.digest.slice(0, 16)}</span> },
          { key: "format", title: t("models.format"), render: (_, version) => [version.format, version.quantization ?? version.dtype].filter(Boolean).join(" · ") },
          { key: "parameters", title: t("models.parameters"), number: true, render: (_, version) => formatCount(version.parameters) },
          { key: "size", title: t("models.size"), number: true, sort: (version) => version.size_bytes, render: (_, version) => formatBytes(version.size_bytes) },
          { key: "source", title: t("origin.source"), optional: true, render: (_, version) => <span className="mono">{version.source}</span> },
          { key: "created", title: t("origin.imported"), sort: (version) => version.created_at, render: (_, version) => <Time at={version.created_at} /> },
          {
            key: "actions",
            title: "",
            render: (_, version) =>
              writes && (
                <Dropdown trigger={["click"]} menu={{ items: [{ key: "alias", label: t("models.setAlias"), onClick: () => setNaming(version.version) }, { key: "delete", danger: true, label: t("action.delete"), onClick: () => setRemoving({ version }) }] }}>
                  <Button size="small" type="text" aria-label={t("action.more")}>⋯</Button>
                </Dropdown>
              ),
          },
        ]}
        empty={{ icon: <TagsOutlined />, title: t("models.noVersions"), text: t("models.noVersionsText") }}
      />
      <AliasDialog model={model.name} version={naming} onClose={() => setNaming(null)} />
      <Removal model={model} what={removing} aliases={removing && "version" in removing ? aliases(removing.version.version) : []} onClose={() => setRemoving(null)} />
    </>
  );
}

interface RemovalProps {
  model: Model;
  what: { version: ModelVersion } | { alias: string } | null;
  /** Of a version: the aliases that go with it. */
  aliases: string[];
  onClose: () => void;
}

/** Asks for the name of the version or alias, and says what will happen. */
function Removal({ model, what, aliases, onClose }: RemovalProps) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [shown, setShown] = useState(what);
  // The words stay while the dialog closes.
  if (what && what !== shown) setShown(what);
  const version = shown && "version" in shown ? shown.version : null;
  const alias = shown && "alias" in shown ? shown.alias : null;
  const path = { name: model.name };
  const remove = async () => {
    if (version) await need(api.DELETE("/api/v1/models/{name}/versions/{version}", { params: { path: { ...path, version: version.version } } }));
    else if (alias) await need(api.DELETE("/api/v1/models/{name}/aliases/{alias}", { params: { path: { ...path, alias } } }));
    await client.invalidateQueries({ queryKey: ["model"] });
  };
  const others = aliases.filter((name) => name !== "latest");
  return (
    <ConfirmName
      open={what !== null}
      onClose={onClose}
      name={version?.version ?? alias ?? ""}
      title={version ? t("models.deleteVersion", { version: version.version }) : t("models.removeAlias", { alias })}
      action={t("action.delete")}
      consequence={
        version ? (
          <ul style={{ margin: 0, paddingInlineStart: 18 }}>
            <li>{t("models.deleteVersionText", { size: formatBytes(version.size_bytes) })}</li>
            {others.length > 0 && <li>{t("models.deleteVersionAliases", { aliases: others.join(", ") })}</li>}
            {aliases.includes("latest") && model.versions > 1 && <li>{t("models.deleteVersionLatest")}</li>}
            <li>{t("models.deleteVersionUsed")}</li>
          </ul>
        ) : (
          t("models.removeAliasText", { model: model.name, alias, version: alias && model.aliases[alias] })
        )
      }
      onConfirm={remove}
    />
  );
}

function AliasDialog({ model, version, onClose }: { model: string; version: string | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [alias, setAlias] = useState("");
  const save = useAction((target: string) => need(api.PUT("/api/v1/models/{name}/aliases/{alias}", { params: { path: { name: model, alias } }, body: { version: target } })), ["model"], { onDone: onClose });
  return (
    <Modal title={t("models.setAliasOn", { version })} open={version !== null} onCancel={onClose} okText={t("action.save")} cancelText={t("action.cancel")} okButtonProps={{ disabled: !alias, loading: save.isPending }} onOk={() => version && save.mutate(version)} afterClose={() => setAlias("")}>
      <p className="quiet">{t("models.aliasHint", { model })}</p>
      <Input value={alias} onChange={(event) => setAlias(event.target.value)} placeholder="prod" aria-label={t("models.aliases")} />
    </Modal>
  );
}
