import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, Button, Form, Input } from "antd";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { Navigate, useNavigate } from "react-router";
import { api, need } from "../../api/client";
import { problemText } from "../../parts/Feedback";
import { sessionQuery } from "../../queries/session";
import { postpone } from "./postponed";
import { Story } from "./Story";

interface Values {
  current: string;
  next: string;
  again: string;
}

/** Changes the own password: asked for at the first login, where it can be put off, and by choice later. */
export function Password() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const navigate = useNavigate();
  const { data: session, isPending } = useQuery(sessionQuery);
  const change = useMutation({
    mutationFn: ({ current, next }: Values) => need(api.POST("/api/v1/session/password", { body: { current, new: next } })),
    onSuccess: async () => {
      await client.refetchQueries({ queryKey: sessionQuery.queryKey });
      await navigate("/overview", { replace: true });
    },
  });
  useEffect(() => {
    document.title = `${t("password.title")} · aicp`;
  }, [t]);
  if (isPending) return null;
  if (!session) return <Navigate to="/login" replace />;
  const forced = session.user.must_change_password;
  const leave = () => {
    if (!forced) return void navigate(-1);
    postpone(session.user.name);
    void navigate("/overview", { replace: true });
  };
  return (
    <Story>
      <h1 style={{ fontSize: 24, fontWeight: 620, letterSpacing: "-.015em", margin: "0 0 4px" }}>{t(forced ? "password.first" : "password.title")}</h1>
      <p className="quiet" style={{ margin: "0 0 24px" }}>{t(forced ? "password.firstText" : "password.text", { user: session.user.name })}</p>
      <Form<Values> layout="vertical" requiredMark={false} onFinish={(values) => change.mutate(values)}>
        {change.error && <Alert role="alert" type="error" showIcon style={{ marginBottom: 18 }} title={problemText(change.error)} />}
        <input type="text" autoComplete="username" defaultValue={session.user.name} hidden />
        <Form.Item name="current" label={t("password.current")} rules={[{ required: true, message: t("form.required") }]}>
          <Input.Password size="large" autoFocus autoComplete="current-password" />
        </Form.Item>
        <Form.Item name="next" label={t("password.new")} extra={t("password.rule")} rules={[{ required: true, message: t("form.required") }, { min: 8, message: t("password.rule") }]}>
          <Input.Password size="large" autoComplete="new-password" />
        </Form.Item>
        <Form.Item
          name="again"
          label={t("password.again")}
          dependencies={["next"]}
          rules={[
            { required: true, message: t("form.required") },
            ({ getFieldValue }) => ({ validator: (_, value: string) => (!value || value === getFieldValue("next") ? Promise.resolve() : Promise.reject(new Error(t("password.differ")))) }),
          ]}
        >
          <Input.Password size="large" autoComplete="new-password" />
        </Form.Item>
        <Button block size="large" type="primary" htmlType="submit" loading={change.isPending}>
          {t("password.action")}
        </Button>
        <Button block size="large" type="text" style={{ marginTop: 8 }} onClick={leave}>
          {t(forced ? "password.later" : "action.cancel")}
        </Button>
      </Form>
    </Story>
  );
}
