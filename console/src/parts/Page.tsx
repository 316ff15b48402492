import { useEffect, type ReactNode } from "react";
import { Link } from "react-router";

interface HeadProps {
  title: string;
  crumb?: { to: string; text: string };
  state?: ReactNode;
  sub?: ReactNode;
  actions?: ReactNode;
}

/** Title with state, a line under it, actions to the right. */
export function Head({ title, crumb, state, sub, actions }: HeadProps) {
  useEffect(() => {
    document.title = `${title} · aicp`;
  }, [title]);
  return (
    <header className="head">
      <div style={{ minWidth: 0 }}>
        {crumb && (
          <div className="crumb">
            <Link to={crumb.to}>{crumb.text}</Link>
          </div>
        )}
        <div className="row wrap">
          <h1>{title}</h1>
          {state}
        </div>
        {sub && <div className="sub">{sub}</div>}
      </div>
      {actions && <div className="actions">{actions}</div>}
    </header>
  );
}

/** The facts of an object, on top of its page. */
export function Facts({ items }: { items: [label: string, value: ReactNode][] }) {
  return (
    <dl className="facts">
      {items.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd className="num" style={{ whiteSpace: "normal" }}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Panel({ title, extra, children, flush }: { title?: ReactNode; extra?: ReactNode; children: ReactNode; flush?: boolean }) {
  return (
    <section className="panel">
      {title && (
        <div className="title">
          <span>{title}</span>
          {extra}
        </div>
      )}
      {flush ? children : <div className="body">{children}</div>}
    </section>
  );
}
