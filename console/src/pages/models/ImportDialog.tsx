import { useQuery } from "@tanstack/react-query";
import { App, Collapse, Form, Input, Modal, Select, Switch } from "antd";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need, Problem } from "../../api/client";
import type { ImportRequest, ModelType, Visibility } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Equivalent } from "../../parts/Equivalent";
import { problemText, ProblemView } from "../../parts/Feedback";
import { useAction } from "../../queries/action";
import { catalogQuery } from "../../queries/models";
import { useHomeProject } from "../../queries/project";
import type { Picked } from "../../queries/uploadFiles";
import { isUnderWay, startUpload } from "../../queries/uploads";
import { importCode, type Source } from "./importCode";
import { MODEL_TYPES } from "./Models";
import { SourceFields, SOURCE_KINDS, type SourceKind } from "./SourceFields";
import { UploadField } from "./UploadField";

interface Values {
  name: string;
  description?: string;
  type?: ModelType;
  visibility: Visibility;
  kind: SourceKind;
  version?: string;
  license?: string;
  skip_unsafe?: boolean;
  source: Given;
}

type Given = Record<string, string | string[] | undefined>;

const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

export function ImportDialog({ open, preset, model, onClose }: { open: boolean; preset?: string; model?: string; onClose: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [form] = Form.useForm<Values>();
  const project = useHomeProject();
  const [files, setFiles] = useState<Picked[]>([]);
  const [error, setError] = useState<unknown>(null);
  const kind = Form.useWatch("kind", form) ?? "directory";
  const written = Form.useWatch((values: Values) => values, { form, preserve: true });
  const { data: catalog } = useQuery({ ...catalogQuery, enabled: open && Boolean(preset) && preset !== "1" });
  // A catalogue that is read again must not write over what was typed since.
  const applied = useRef<string>(undefined);
  useEffect(() => {
    if (!open) applied.current = undefined;
    const entry = catalog?.items.find((item) => item.name === preset);
    if (!open || !entry || applied.current === preset) return;
    applied.current = preset;
    const kind = entry.huggingface ? "huggingface" : "modelscope";
    form.setFieldsValue({ name: entry.name, description: localized(entry.description), type: entry.type, license: entry.license, kind, source: { repo: entry[kind] ?? undefined } });
  }, [open, catalog, preset, form]);

  const start = useAction(
    (values: Values) => {
      const body = { ...requestOf(values, project), source: { ...clean(values.source), kind: values.kind } } as ImportRequest;
      return need(api.POST("/api/v1/models/{name}/import", { params: { path: { name: values.name } }, body }));
    },
    ["job", "model"],
    {
      silent: true,
      onDone: (job) => {
        void message.success(t("models.importStarted", { title: localized(job.title) }));
        onClose();
      },
    },
  );
  const submit = async () => {
    setError(null);
    const values = await form.validateFields().catch(() => null);
    if (!values) return;
    if (model) values.name = model;
    if (values.kind === "upload") return send(values);
    start.mutate(values, { onError: setError });
  };
  /** Files are sent whatever page is shown; the jobs tray tells how far they are. */
  const send = (values: Values) => {
    if (files.length === 0) return setError(new Error(t("upload.none")));
    if (isUnderWay(files, project)) return setError(new Error(t("upload.underWay")));
    void startUpload({ model: values.name, project, files, request: requestOf(values, project) });
    void message.success(t("upload.started", { name: values.name }));
    onClose();
  };
  return (
    <Modal
      title={model ? t("models.importVersion", { name: model }) : t("models.import")}
      open={open}
      width={640}
      destroyOnHidden
      onCancel={onClose}
      okText={t("models.importAction")}
      cancelText={t("action.cancel")}
      confirmLoading={start.isPending}
      onOk={() => void submit()}
      afterClose={() => {
        setError(null);
        setFiles([]);
      }}
    >
      {error !== null && (error instanceof Problem ? <ProblemView error={error} /> : <ProblemView error={new Error(problemText(error))} />)}
      <Form<Values> form={form} layout="vertical" preserve={false} disabled={start.isPending} initialValues={{ visibility: "public", kind: "directory", name: model, source: {} }}>
        {!model && (
          <>
            <Form.Item name="name" label={t("models.name")} extra={t("models.nameHint")} rules={[{ required: true, message: t("form.required") }, { pattern: NAME, message: t("form.name") }]}>
              <Input placeholder="qwen3-8b" autoComplete="off" />
            </Form.Item>
            <Form.Item name="description" label={t("models.description")}>
              <Input maxLength={2000} />
            </Form.Item>
            <div className="grid2">
              <Form.Item name="type" label={t("models.type")}>
                <Select allowClear placeholder={t("models.typeFound")} options={MODEL_TYPES.map((value) => ({ value, label: t(`modelType.${value}`) }))} />
              </Form.Item>
              <Form.Item name="visibility" label={t("models.visibility")}>
                <Select options={[{ value: "public", label: t("visibility.public") }, { value: "project", label: t("visibility.ofProject", { project }) }]} />
              </Form.Item>
            </div>
          </>
        )}
        <Form.Item name="kind" label={t("models.method")}>
          <Select options={SOURCE_KINDS.map((value) => ({ value, label: t(`source.${value}`) }))} />
        </Form.Item>
        {kind === "upload" ? <UploadField files={files} onChange={setFiles} /> : <SourceFields kind={kind} />}
        <Collapse
          ghost
          size="small"
          items={[
            {
              key: "advanced",
              label: t("form.advanced"),
              forceRender: true,
              children: (
                <>
                  <div className="grid2">
                    <Form.Item name="version" label={t("models.version")} rules={[{ pattern: NAME, message: t("form.name") }]}><Input placeholder={t("models.versionNext")} /></Form.Item>
                    <Form.Item name="license" label={t("models.license")}><Input placeholder={t("models.licenseFound")} /></Form.Item>
                  </div>
                  <Form.Item name="skip_unsafe" label={t("models.skipUnsafe")} extra={t("models.skipUnsafeHint")} valuePropName="checked"><Switch /></Form.Item>
                </>
              ),
            },
          ]}
        />
        <Equivalent same={sameAs(written, model, kind, project)} />
      </Form>
    </Modal>
  );
}

function sameAs(written: Values | undefined, model: string | undefined, kind: SourceKind, project: string) {
  const { description, type, visibility, version, license, skip_unsafe } = written ?? {};
  const fields = { description, type, visibility, project, version, license, skip_unsafe };
  return importCode(model ?? (written?.name || "NAME"), kind, clean(written?.source), fields);
}

function requestOf({ description = "", type, visibility, version, license, skip_unsafe }: Values, project: string): Omit<ImportRequest, "source"> {
  return { description, type, visibility, project, version: version || undefined, license: license || undefined, skip_unsafe };
}

/** What was filled in. */
function clean(source: Given | undefined): Source {
  return Object.fromEntries(Object.entries(source ?? {}).filter((entry): entry is [string, string | string[]] => Boolean(entry[1]?.length)));
}
